// Many runs of one scenario, and what is made of one that fails.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <string_view>

#include "simulation/disturbance.hpp"
#include "simulation/own_command.hpp"

namespace supervisor {

namespace {

using scenario = std::function<void(simulation&)>;
using indices = std::vector<std::size_t>;

/// No more runs than this are spent on making a failed one shorter.
constexpr unsigned most_attempts = 500;
constexpr const char* seed_variable = "SUPERVISOR_SEED";

struct run_result {
  std::string what;  ///< empty: it holds
  std::string schedule;
  std::string journal;
};

run_result run_once(const scenario& begin, const exploration& how, std::uint64_t seed,
                    const std::vector<disturbance>& all, const indices& kept, bool tells) {
  simulation sim(seed);
  run_result result;
  std::optional<disturber> chaos;
  try {
    begin(sim);
    chaos.emplace(sim, how, tells);
    for (auto i : kept) {
      chaos->disturb(all[i]);
      if (sim.exit_code()) break;
    }
    chaos->calm();
    if (!sim.exit_code()) {
      sim.run_for(how.patience);
      if (how.then) how.then(sim);
      sim.send(SIGTERM);
    }
    sim.run(how.patience);
  } catch (const std::exception& error) {
    result.what = error.what();
    if (tells) result.journal = sim.journal_text();
    if (chaos) result.schedule = chaos->told();
  }
  return result;
}

/// "17:0,4,9": the seed, and which of its disturbances are left.
std::string tell_run(std::uint64_t seed, const indices& kept) {
  return fmt::format("{}:{}", seed, fmt::join(kept, ","));
}

std::optional<std::pair<std::uint64_t, indices>> asked_for(std::size_t events) {
  const char* given = std::getenv(seed_variable);
  if (!given || !*given) return {};
  std::pair<std::uint64_t, indices> asked;
  std::string_view text = given;
  auto number = [&](auto& value) {
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc()) return false;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return true;
  };
  bool valid = number(asked.first);
  if (text.empty())
    for (std::size_t i = 0; i < events; ++i) asked.second.push_back(i);
  while (valid && !text.empty()) {
    text.remove_prefix(1);  // the colon, a comma
    if (text.empty()) break;
    std::size_t index = 0;
    valid = number(index) && index < events;
    asked.second.push_back(index);
  }
  if (!valid)
    throw std::invalid_argument(
        fmt::format("{}={}: not SEED or SEED:INDEX,...", seed_variable, given));
  return asked;
}

/// Leaves out what can be left out: halves, quarters, down to single ones,
/// until nothing can.
indices shrink(indices kept, const std::function<bool(const indices&)>& fails) {
  unsigned attempts = 0;
  for (auto chunk = std::max<std::size_t>(kept.size() / 2, 1);;) {
    bool shorter = false;
    for (std::size_t from = 0; from < kept.size() && attempts < most_attempts;) {
      auto less = kept;
      auto end = std::min(from + chunk, less.size());
      less.erase(less.begin() + static_cast<std::ptrdiff_t>(from),
                 less.begin() + static_cast<std::ptrdiff_t>(end));
      ++attempts;
      if (fails(less)) {
        kept = std::move(less);
        shorter = true;
      } else {
        from = end;
      }
    }
    if (attempts >= most_attempts || (chunk == 1 && !shorter)) return kept;
    chunk = std::max<std::size_t>(chunk / 2, 1);
  }
}

failed_run failure_of(run_result result, std::uint64_t seed, const std::string& run) {
  failed_run failed;
  failed.what = std::move(result.what);
  failed.schedule = std::move(result.schedule);
  failed.journal = std::move(result.journal);
  failed.replay = fmt::format("{}={} {}", seed_variable, run, own_command());
  failed.seed = seed;
  return failed;
}

}  // namespace

std::string describe(const std::optional<failed_run>& failed) {
  if (!failed) return {};
  return fmt::format("seed {}: {}\ndone to it:\n{}journal:\n{}again: {}\n", failed->seed,
                     failed->what, failed->schedule, failed->journal, failed->replay);
}

std::optional<failed_run> explore(const scenario& begin, const exploration& how) {
  if (auto asked = asked_for(how.events)) {
    auto all = draw_disturbances(asked->first, how);
    auto result = run_once(begin, how, asked->first, all, asked->second, true);
    if (result.what.empty()) return {};
    return failure_of(std::move(result), asked->first, tell_run(asked->first, asked->second));
  }
  for (auto seed = how.first; seed < how.first + how.seeds; ++seed) {
    auto all = draw_disturbances(seed, how);
    indices kept(all.size());
    std::ranges::generate(kept, [n = std::size_t{0}]() mutable { return n++; });
    if (run_once(begin, how, seed, all, kept, false).what.empty()) continue;
    kept = shrink(std::move(kept), [&](const indices& fewer) {
      return !run_once(begin, how, seed, all, fewer, false).what.empty();
    });
    return failure_of(run_once(begin, how, seed, all, kept, true), seed, tell_run(seed, kept));
  }
  return {};
}

}  // namespace supervisor
