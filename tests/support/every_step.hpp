// Scenarios that are stopped after each of their steps, and whose supervisor is killed after each
// of them and started anew. No step is left out; that stays cheap because a scenario has some
// hundred steps, and goes through one thing.
#pragma once

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <span>
#include <stdexcept>
#include <string_view>

#include "supervisor/simulation.hpp"

namespace test {

using namespace std::chrono_literals;
using supervisor::duration;
using supervisor::event_kind;
using supervisor::exit_cause;
using supervisor::rollout_end;
using supervisor::simulation;
using policy_result = boost::asio::awaitable<int>;
using self_type = ::supervisor::supervisor;

/// What a user's test does with a simulation. Its policy outlives play(), which is left in the
/// middle: what its callbacks have is theirs.
struct scenario {
  const char* name;
  void (*play)(simulation&);
  bool (*came_to_its_end)(const simulation&);
};

inline bool has(const simulation& sim, event_kind kind, exit_cause why) {
  return std::ranges::any_of(sim.events(), [&](auto& e) { return e.kind == kind && e.why == why; });
}
inline bool noted(const simulation& sim, std::string_view words, int least = 1) {
  auto told = std::ranges::count_if(sim.events(), [&](auto& e) {
    return e.kind == event_kind::note && e.text.find(words) != std::string::npos;
  });
  return told >= least;
}
template <event_kind kind, std::size_t least = 1>
bool came(const simulation& sim) {
  return sim.count(kind) >= least;
}
template <exit_cause why>
bool ended_for(const simulation& sim) {
  return has(sim, event_kind::worker_exited, why);
}
template <rollout_end how>
bool rolled(const simulation& sim) {
  auto pools = sim.pools();
  return !pools.empty() &&
         std::ranges::count(pools.front().history, how, &supervisor::rollout_record::end) >
             (how == rollout_end::committed ? 1 : 0);
}

inline void kill_first(simulation& sim, std::string_view pool, int number = SIGKILL) {
  for (auto& p : sim.processes())
    if (p.pool == pool) {
      sim.kill(p.pid, number);
      return;
    }
}
inline void all_are(simulation& sim, supervisor::process_script script) {
  sim.on_launch = [script](auto&) { return script; };
}

inline void tell(simulation& sim, int number, duration then = 1s) {
  sim.send(number);
  sim.run_for(then);
}
inline void takes_its_time(simulation& sim) {
  supervisor::process_script s;
  s.launch_takes = 20ms;
  s.ready_after = 200ms;
  s.drain_takes = 300ms;
  s.reap_takes = 10ms;
  all_are(sim, s);
  sim.on_open = [](auto, auto) {
    supervisor::program_script p;
    p.opens_after = 100ms;
    return p;
  };
}

/// The longest ladder of them all, with time to spare.
constexpr auto bound = 45s;

template <typename Check>
void each(std::span<const scenario> all, Check check) {
  for (auto& s : all) BOOST_TEST_CONTEXT(s.name) check(s);
}

inline void each_is_one(std::span<const scenario> all) {
  each(all, [](auto& s) {
    simulation sim;
    s.play(sim);
    BOOST_TEST(s.came_to_its_end(sim), sim.journal_text());
    if (!sim.exit_code()) sim.send(SIGTERM);
    sim.run(bound);
    BOOST_TEST(sim.processes().empty());
  });
}
inline void each_stops_in_time(std::span<const scenario> all) {
  each(all, [](auto& s) {
    auto failed = supervisor::stop_at_every_step(s.play, bound);
    BOOST_TEST(!failed, describe(failed));
  });
}
/// With its supervisor killed once, it comes to its end all the same.
inline void each_goes_on(std::span<const scenario> all) {
  each(all, [](auto& s) {
    auto play = [&s](simulation& sim) {
      s.play(sim);
      if (!s.came_to_its_end(sim)) throw std::runtime_error("it did not come to its end");
    };
    auto failed = supervisor::restart_at_every_step(play, bound);
    BOOST_TEST(!failed, describe(failed));
  });
}

}  // namespace test
