// The instrument: kills, connects, and measures from outside. tests/bench/run calls it.
#include <fmt/format.h>

#include <csignal>
#include <stdexcept>

#include "processes.hpp"

namespace {

int run(const std::vector<std::string>& words) {
  if (words.size() < 3) throw std::invalid_argument("FIGURE COUNT CONTESTANT...");
  const auto& figure = words[0];
  unsigned count = std::stoul(words[1]);
  std::vector<bench::contestant> all;
  for (std::size_t i = 2; i < words.size(); ++i) all.push_back(bench::parse_contestant(words[i]));
  if (figure == "respawn") return bench::measure_respawn(count, false, all);
  if (figure == "respawn-all") return bench::measure_respawn(count, true, all);
  if (figure == "accepted") return bench::measure_accepted(count, all);
  if (figure == "signal") return bench::measure_signal(count, all);
  if (figure == "signal-rate") return bench::measure_signal_rate(count, all);
  if (figure == "sparse") return bench::measure_sparse(count, all[0], true);
  if (figure == "sparse-kills") return bench::measure_sparse(count, all[0], false);
  if (figure == "storm") return bench::measure_storm(count, all[0]);
  throw std::invalid_argument("no figure " + figure);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return run({argv + 1, argv + argc});
  } catch (const std::exception& e) {
    fmt::print(stderr, "bench_driver: {}\n", e.what());
    return 1;
  }
}
