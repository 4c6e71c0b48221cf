// prefork: keeps a pool of workers on shared listening sockets.
#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <string_view>

#include "commands.hpp"
#include "demo.hpp"
#include "options.hpp"
#include "supervisor/run.hpp"

int main(int argc, char** argv) {
  const std::array functions{demo()};
  auto as_mold = supervisor::mold_role(argc, argv, functions);
  if (as_mold) return *as_mold;
  // Before it has anything to keep.
  if (argc > 1 && std::string_view(argv[1]) == "run") {
    auto as_keeper = supervisor::keeper_role(argc, argv);
    if (as_keeper) return *as_keeper;
  }

  auto request = app::parse({argv + 1, argv + argc});
  if (auto* run = std::get_if<app::run_request>(&request))
    return app::run(argc, argv, std::move(*run));
  if (auto* config = std::get_if<app::config_request>(&request))
    return app::run(argc, argv, *config);
  if (auto* control = std::get_if<app::control_request>(&request)) return app::control(*control);
  auto& told = std::get<app::message>(request);
  fmt::print(told.code == 0 ? stdout : stderr, "{}", told.text);
  return told.code;
}
