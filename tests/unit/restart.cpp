#include "supervisor/restart.hpp"

#include <boost/test/unit_test.hpp>
#include <csignal>
#include <limits>
#include <vector>

using namespace supervisor;
using namespace std::chrono_literals;

namespace {

constexpr auto all_ones = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t middle = std::uint64_t(1) << 63;  // jitter of nothing

restart_facts crash(unsigned failures, std::uint64_t random = middle) {
  restart_facts facts;
  facts.cause = exit_cause::crash;
  facts.failures = failures;
  facts.random = random;
  return facts;
}

restart_facts after(exit_cause cause, bool was_ready, duration ready_for, unsigned failures) {
  restart_facts facts;
  facts.cause = cause;
  facts.was_ready = was_ready;
  facts.ready_for = ready_for;
  facts.failures = failures;
  facts.random = middle;
  return facts;
}

/// Any stream of well spread words does.
std::uint64_t word(std::uint64_t i) {
  auto z = (i + 1) * 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  return z ^ (z >> 31);
}

constexpr exit_cause all_causes[] = {
    exit_cause::none,         exit_cause::finished,        exit_cause::crash,
    exit_cause::boot_timeout, exit_cause::launch_failure,  exit_cause::recycled,
    exit_cause::scaled_down,  exit_cause::replaced,        exit_cause::stopped,
    exit_cause::hang,         exit_cause::request_timeout, exit_cause::out_of_memory,
    exit_cause::dependency,   exit_cause::killed,          exit_cause::lost};

}  // namespace

BOOST_AUTO_TEST_SUITE(restart)

BOOST_AUTO_TEST_CASE(failures_back_off_after_the_immediate_ones) {
  const std::vector<duration> delays{0s, 0s, 1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s, 60s};
  for (unsigned before = 0; before < delays.size(); ++before) {
    auto decision = decide_restart({}, crash(before));
    BOOST_TEST(decision.failures == before + 1);
    BOOST_TEST((decision.delay == delays[before]), "after failure " << before + 1);
  }
}

BOOST_AUTO_TEST_CASE(jitter_stays_in_its_bounds_and_uses_them) {
  for (unsigned before : {2u, 3u, 8u, 100u}) {
    auto plain = decide_restart({}, crash(before)).delay;
    auto least = plain * 2, most = duration{};
    for (std::uint64_t i = 0; i < 20'000; ++i) {
      auto delay = decide_restart({}, crash(before, word(i))).delay;
      least = std::min(least, delay);
      most = std::max(most, delay);
    }
    BOOST_TEST((least >= plain * 3 / 4 && least < plain * 76 / 100));
    BOOST_TEST((most <= plain * 5 / 4 && most > plain * 124 / 100));
  }
  BOOST_TEST((decide_restart({}, crash(2, 0)).delay == 750ms));
  BOOST_TEST((decide_restart({}, crash(2, all_ones)).delay <= 1250ms));
}

BOOST_AUTO_TEST_CASE(only_the_programs_own_doing_counts) {
  struct row {
    exit_cause cause;
    bool counts_before_ready, counts_after_ready;
  };
  const std::vector<row> table{{exit_cause::none, false, false},
                               {exit_cause::finished, true, true},
                               {exit_cause::crash, true, true},
                               {exit_cause::boot_timeout, true, true},
                               {exit_cause::launch_failure, true, true},
                               {exit_cause::recycled, false, false},
                               {exit_cause::scaled_down, false, false},
                               {exit_cause::replaced, false, false},
                               {exit_cause::stopped, false, false},
                               {exit_cause::hang, true, true},
                               {exit_cause::request_timeout, true, true},
                               {exit_cause::out_of_memory, true, false},
                               {exit_cause::dependency, false, false},
                               {exit_cause::killed, false, false},
                               {exit_cause::lost, true, true}};
  BOOST_TEST(table.size() == std::size(all_causes));
  for (auto& [cause, before_ready, after_ready] : table)
    for (bool was_ready : {false, true}) {
      auto decision = decide_restart({}, after(cause, was_ready, 999ms, 5));
      bool counts = was_ready ? after_ready : before_ready;
      BOOST_TEST(decision.failures == (counts ? 6u : 5u), to_string(cause) << ' ' << was_ready);
      BOOST_TEST((decision.delay == (counts ? 8s : 0s)), to_string(cause) << ' ' << was_ready);
    }
}

restart_facts exit_with(exit_status how, unsigned failures = 0) {
  auto facts = crash(failures);
  facts.how = how;
  if (how.success()) facts.cause = exit_cause::finished;
  return facts;
}

BOOST_AUTO_TEST_CASE(types_decide_which_exits_are_the_last) {
  struct row {
    exit_cause cause;
    bool transient_ends, temporary_ends;
  };
  const std::vector<row> table{
      {exit_cause::finished, true, true},       {exit_cause::crash, false, true},
      {exit_cause::boot_timeout, false, true},  {exit_cause::launch_failure, false, true},
      {exit_cause::hang, false, true},          {exit_cause::request_timeout, false, true},
      {exit_cause::out_of_memory, false, true}, {exit_cause::dependency, false, true},
      {exit_cause::killed, false, true},        {exit_cause::lost, false, true}};
  for (auto& [cause, transient_ends, temporary_ends] : table)
    for (bool healthy : {false, true}) {
      auto facts = after(cause, healthy, 10h, 3);
      auto ends = [&](restart_policy& policy) {
        return decide_restart(policy, facts).next == verdict::finished;
      };
      restart_policy permanent, transient, temporary;
      BOOST_TEST(!ends(permanent.permanent()), to_string(cause));
      BOOST_TEST(ends(transient.transient()) == transient_ends, to_string(cause));
      BOOST_TEST(ends(temporary.temporary()) == temporary_ends, to_string(cause));
    }
  // Who was to make it died: there was no worker yet.
  auto unmade = after(exit_cause::killed, false, 0s, 0);
  unmade.never_ran = true;
  restart_policy temporary;
  BOOST_TEST((decide_restart(temporary.temporary(), unmade).next == verdict::again));
}

// A job that is done before anybody calls it ready has not failed in a rollout.
BOOST_AUTO_TEST_CASE(a_clean_exit_is_a_failure_of_what_is_to_run_for_ever_only) {
  auto clean = exit_with(exit_status::exited(0));
  restart_policy permanent, transient, temporary;
  BOOST_TEST(decide_restart(permanent, clean).failures == 1u);
  BOOST_TEST(decide_restart(transient.transient(), clean).failures == 0u);
  BOOST_TEST(decide_restart(temporary.temporary(), clean).failures == 0u);
  BOOST_TEST(decide_restart(temporary, exit_with(exit_status::exited(1))).failures == 1u);
}

BOOST_AUTO_TEST_CASE(curves) {
  struct row {
    restart_policy policy;
    std::vector<duration> delays;
  };
  const std::vector<row> table{{restart_policy().fixed(3s), {3s, 3s, 3s, 3s}},
                               {restart_policy().linear(2s, 7s), {2s, 4s, 6s, 7s, 7s}},
                               {restart_policy().exponential(1s, 5s), {1s, 2s, 4s, 5s, 5s}},
                               {restart_policy().fixed(0s), {0s, 0s}},
                               {restart_policy().decorrelated(10s, 10s), {10s, 10s}}};
  for (auto& [policy, delays] : table)
    for (unsigned before = 0; before < delays.size(); ++before)
      BOOST_TEST((decide_restart(policy, crash(before)).delay == delays[before]));
  auto endless = restart_policy().linear(1s, duration::max());
  endless.jitter = 0;
  BOOST_TEST((decide_restart(endless, crash(4'000'000'000u)).delay > 4'000'000'000s));
}

BOOST_AUTO_TEST_CASE(decorrelated_jitter_lies_between_the_base_and_thrice_the_delay_before) {
  auto policy = restart_policy().decorrelated(1s, 60s);
  duration before{};
  duration longest{};
  for (std::uint64_t i = 0; i < 10'000; ++i) {
    auto facts = crash(static_cast<unsigned>(i), word(i));
    facts.last_delay = before;
    auto delay = decide_restart(policy, facts).delay;
    BOOST_REQUIRE((delay >= 1s && delay <= 60s));
    BOOST_REQUIRE((delay <= std::max<duration>(before, 1s) * 3));
    longest = std::max(longest, delay);
    before = delay;
  }
  BOOST_TEST((longest > 50s));
}

// erlang's add_restart(): those at least as young as the period count, and one beyond the intensity
// ends it.
BOOST_AUTO_TEST_CASE(intensity_counts_as_otp_does) {
  auto policy = restart_policy().give_up(2, 10s);
  const time_point now{1h};
  struct row {
    std::vector<time_point> window;
    verdict next;
    unsigned remembered;
  };
  const std::vector<row> table{{{}, verdict::again, 1},
                               {{now - 1s}, verdict::again, 2},
                               {{now - 2s, now - 1s}, verdict::given_up, 3},
                               {{now - 10s, now}, verdict::given_up, 3},
                               {{now - 10s - 1ns, now}, verdict::again, 2},
                               {{now - 1h, now - 2s, now - 1s}, verdict::given_up, 3}};
  for (bool healthy : {false, true})
    for (auto& [window, next, remembered] : table) {
      auto facts = after(exit_cause::crash, healthy, 10h, 0);
      facts.now = now;
      facts.window = window;
      auto decision = decide_restart(policy, facts);
      BOOST_TEST((decision.next == next));
      BOOST_TEST(decision.window == remembered);
      // What somebody else did is none of its failures.
      facts.cause = exit_cause::killed;
      decision = decide_restart(policy, facts);
      BOOST_TEST((decision.next == verdict::again));
      BOOST_TEST(decision.window == 0u);
    }
}

BOOST_AUTO_TEST_CASE(beyond_the_intensity) {
  auto first = exit_with(exit_status::exited(70));
  auto next = [&](restart_policy policy) { return decide_restart(policy, first).next; };
  BOOST_TEST((next(restart_policy().give_up()) == verdict::given_up));
  BOOST_TEST((next(restart_policy().escalate()) == verdict::escalated));
  BOOST_TEST((next(restart_policy().half_open(0, 1s, 30s)) == verdict::trial));
  BOOST_TEST((next(restart_policy().give_up(1, 1s)) == verdict::again));
}

BOOST_AUTO_TEST_CASE(half_open_tries_until_one_is_healthy) {
  auto policy = restart_policy().fixed(1s).half_open(3, 60s, 30s);
  auto trial = crash(9);
  trial.half_open = true;
  auto decision = decide_restart(policy, trial);
  BOOST_TEST((decision.next == verdict::trial));
  BOOST_TEST((decision.delay == 30s));
  BOOST_TEST(decision.window == 0u);
  // Killed from outside before it was healthy, it is to be tried again at once.
  trial.cause = exit_cause::killed;
  decision = decide_restart(policy, trial);
  BOOST_TEST((decision.next == verdict::trial));
  BOOST_TEST((decision.delay == 0s));
  // Healthy, it closed the circuit: its end is the first failure of a new window.
  auto closed = after(exit_cause::crash, true, 1s, 9);
  closed.half_open = true;
  decision = decide_restart(policy, closed);
  BOOST_TEST((decision.next == verdict::again));
  BOOST_TEST((decision.delay == 0s));
  BOOST_TEST(decision.window == 1u);
  BOOST_TEST(decision.failures == 0u);
}

BOOST_AUTO_TEST_CASE(sets_of_causes) {
  struct row {
    causes set;
    bool code_70, code_78, segv, term, oom, hang;
  };
  const std::vector<row> table{
      {causes(), false, false, false, false, false, false},
      {causes::any(), true, true, true, true, true, true},
      {causes::exit_code(70), true, false, false, false, false, false},
      {causes::exit_codes(71, 300), false, true, false, false, false, false},
      {causes::signal(SIGSEGV), false, false, true, false, false, false},
      {causes::any_signal(), false, false, true, true, false, false},
      {causes::of(exit_cause::out_of_memory), false, false, false, false, true, false},
      {causes::exit_code(70) | causes::of(exit_cause::hang), true, false, false, false, false,
       true}};
  auto segv = exit_status::signalled(SIGSEGV), term = exit_status::signalled(SIGTERM);
  auto kill = exit_status::signalled(SIGKILL);
  for (auto& r : table) {
    BOOST_TEST(r.set.contain(exit_cause::crash, exit_status::exited(70)) == r.code_70);
    BOOST_TEST(r.set.contain(exit_cause::crash, exit_status::exited(78)) == r.code_78);
    BOOST_TEST(r.set.contain(exit_cause::crash, segv) == r.segv);
    BOOST_TEST(r.set.contain(exit_cause::killed, term) == r.term);
    BOOST_TEST(r.set.contain(exit_cause::out_of_memory, kill) == r.oom);
    BOOST_TEST(r.set.contain(exit_cause::hang, kill) == r.hang);
  }
  BOOST_TEST((causes::exit_codes(0, 0) == causes::exit_code(0)));
  BOOST_TEST((causes::exit_codes(5, 4) == causes()));
  BOOST_TEST((causes::signal(99) == causes()));
}

BOOST_AUTO_TEST_CASE(the_first_rule_that_fits_answers) {
  auto policy = restart_policy()
                    .fixed(1s)
                    .on(causes::exit_code(78), restart_policy().give_up())
                    .on(causes::exit_codes(64, 78), restart_policy().fixed(9s))
                    .on(causes::clean_exit(), restart_policy().temporary());
  auto decided = [&](int code) {
    return decide_restart(policy, exit_with(exit_status::exited(code)));
  };
  BOOST_TEST((decided(78).next == verdict::given_up));
  BOOST_TEST((decided(64).delay == 9s));
  BOOST_TEST((decided(1).delay == 1s));
  BOOST_TEST((decided(0).next == verdict::finished));
}

BOOST_AUTO_TEST_CASE(as_many_failures_are_remembered_as_any_rule_may_count) {
  auto policy =
      restart_policy().give_up(1, 10s).on(causes::exit_code(9), restart_policy().give_up(3, 1min));
  const time_point now{1h};
  const std::vector<time_point> window{now - 2min, now - 50s, now - 40s, now - 30s};
  auto facts = exit_with(exit_status::exited(1));
  facts.now = now;
  facts.window = window;
  BOOST_TEST(decide_restart(policy, facts).window == 4u);
  facts.how = exit_status::exited(9);
  BOOST_TEST((decide_restart(policy, facts).next == verdict::given_up));
}

BOOST_AUTO_TEST_CASE(a_healthy_worker_forgets_its_failures) {
  for (auto cause : all_causes) {
    BOOST_TEST((decide_restart({}, after(cause, true, 1s, 30)) == restart_decision{}));
    BOOST_TEST((decide_restart({}, after(cause, true, 10h, 30)) == restart_decision{}));
  }
}

BOOST_AUTO_TEST_CASE(death_at_boot_costs_ten_starts_in_the_first_minute_at_most) {
  for (std::uint64_t random : {std::uint64_t{0}, middle, all_ones}) {
    unsigned starts = 0, failures = 0;
    for (duration at{}; at <= 60s;) {
      ++starts;
      auto decision = decide_restart({}, crash(failures, random));
      failures = decision.failures;
      at += decision.delay;
    }
    BOOST_TEST(starts <= 10u);
    BOOST_TEST(starts >= 8u);
  }
}

BOOST_AUTO_TEST_CASE(nothing_overflows) {
  for (unsigned failures : {4'000'000'000u, std::numeric_limits<unsigned>::max()}) {
    auto decision = decide_restart({}, crash(failures, all_ones));
    BOOST_TEST(decision.failures >= failures);
    BOOST_TEST((decision.delay > 60s && decision.delay <= 75s));
  }
  restart_policy endless;
  endless.cap = duration::max();
  endless.jitter = 1;
  BOOST_TEST((decide_restart(endless, crash(4'000'000'000u, all_ones)).delay == duration::max()));
  BOOST_TEST((decide_restart(endless, crash(4'000'000'000u, 0)).delay == duration{}));
}

BOOST_AUTO_TEST_CASE(strange_policies_are_harmless) {
  restart_policy none;
  none.base = {};
  BOOST_TEST((decide_restart(none, crash(4'000'000'000u)).delay == duration{}));
  restart_policy small;
  small.base = 10s;
  small.cap = 3s;
  BOOST_TEST((decide_restart(small, crash(7)).delay == 3s));
  restart_policy strict;
  strict.immediate = 0;
  BOOST_TEST((decide_restart(strict, crash(0)).delay == 1s));
  restart_policy wild;
  wild.jitter = 7;
  BOOST_TEST((decide_restart(wild, crash(2, 0)).delay == duration{}));
}

/// A bucket, and who takes from it.
struct taking {
  start_rate rate;
  unsigned target = 1;
  time_point now{1h};
  start_budget budget;

  time_point take() {
    auto when = next_start(budget, rate, target, 0, now);
    if (when == now) budget = take_start(budget, rate, now);
    return when;
  }
  unsigned take_all() {
    unsigned taken = 0;
    while (take() == now) ++taken;
    return taken;
  }
};

BOOST_AUTO_TEST_CASE(a_pool_starts_its_burst_at_once_and_then_a_hundred_a_second) {
  for (unsigned target : {0u, 1u, 50u, 51u, 1000u}) {
    taking pool;
    pool.target = target;
    BOOST_TEST(pool.take_all() == std::max(100u, 2 * target));
    for (unsigned ahead = 0; ahead < 300; ++ahead)
      BOOST_REQUIRE((next_start(pool.budget, pool.rate, target, ahead, pool.now) ==
                     pool.now + 10ms * (ahead + 1)));
  }
}

BOOST_AUTO_TEST_CASE(a_budget_is_as_it_is_set) {
  taking pool;
  pool.rate.burst = 5;
  pool.rate.per_second = 2;
  pool.target = 500;
  BOOST_TEST(pool.take_all() == 5u);
  BOOST_TEST((pool.take() == pool.now + 500ms));
  pool.now += 1s;
  BOOST_TEST(pool.take_all() == 2u);
  pool.rate.per_second = 0.001;
  pool.budget = {};
  BOOST_TEST(pool.take_all() == 5u);
  BOOST_TEST((pool.take() == pool.now + 1000s));
}

BOOST_AUTO_TEST_CASE(a_pool_that_grows_may_start_as_many_more) {
  taking pool;
  BOOST_TEST(pool.take_all() == 100u);
  pool.target = 1000;
  BOOST_TEST(pool.take_all() == 1900u);
}

BOOST_AUTO_TEST_CASE(tokens_come_back_up_to_the_burst) {
  taking pool;
  pool.take_all();
  pool.now += 500ms;
  BOOST_TEST(pool.take_all() == 50u);
  pool.now += 24h;
  BOOST_TEST(pool.take_all() == 100u);
}

BOOST_AUTO_TEST_CASE(a_start_is_never_in_the_past_and_never_above_the_rate) {
  taking pool;
  unsigned taken = 0;
  const auto began = pool.now;
  for (std::uint64_t i = 0; i < 10'000; ++i) {
    pool.now += duration(static_cast<std::int64_t>(word(i) % 20'000'000)) - 5ms;  // also backwards
    auto when = pool.take();
    BOOST_REQUIRE((when >= pool.now));
    taken += when == pool.now;
  }
  BOOST_TEST(taken <= 100 + (pool.now - began) / 10ms + 1);
}

BOOST_AUTO_TEST_SUITE_END()
