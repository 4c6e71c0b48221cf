// One scenario, interrupted after each of its steps.
#include <fmt/format.h>

#include <charconv>
#include <csignal>
#include <cstdlib>
#include <string_view>

#include "simulation/own_command.hpp"
#include "supervisor/simulation.hpp"

namespace supervisor {

namespace {

using scenario = std::function<void(simulation&)>;

constexpr const char* step_variable = "SUPERVISOR_STEP";

/// Leaves a scenario where it stands.
struct interrupted {};

/// Where the environment asks for one step, that one and the next; else all
/// there are.
std::pair<std::uint64_t, std::uint64_t> which_steps(const scenario& play) {
  const char* given = std::getenv(step_variable);
  if (given && *given) {
    std::uint64_t step = 0;
    std::string_view text = given;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), step);
    if (error != std::errc() || end != text.data() + text.size())
      throw std::invalid_argument(fmt::format("{}={}: not a number", step_variable, given));
    return {step, step + 1};
  }
  simulation whole;
  play(whole);
  return {0, whole.steps()};
}

std::optional<failed_run> at_every_step(const scenario& play, duration bound,
                                        const std::function<void(simulation&)>& interrupt) {
  auto [first, end] = which_steps(play);
  for (auto step = first; step < end; ++step) {
    simulation sim;
    sim.after_step(step, [&] { interrupt(sim); });
    try {
      try {
        play(sim);
      } catch (const interrupted&) {
      }
      if (!sim.exit_code()) sim.send(SIGTERM);
      sim.run(bound);
    } catch (const std::exception& error) {
      failed_run failed;
      failed.what = fmt::format("after step {}: {}", step, error.what());
      failed.journal = sim.journal_text();
      failed.replay = fmt::format("{}={} {}", step_variable, step, own_command());
      return failed;
    }
  }
  return {};
}

}  // namespace

std::optional<failed_run> stop_at_every_step(const scenario& play, duration bound) {
  return at_every_step(play, bound, [](simulation&) { throw interrupted(); });
}

std::optional<failed_run> restart_at_every_step(const scenario& play, duration bound) {
  return at_every_step(play, bound, [](simulation& sim) {
    if (sim.running()) sim.restart_supervisor();
  });
}

}  // namespace supervisor
