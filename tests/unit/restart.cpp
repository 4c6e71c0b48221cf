#include "supervisor/restart.hpp"

#include <boost/test/unit_test.hpp>
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

constexpr exit_cause all_causes[] = {exit_cause::none,
                                     exit_cause::finished,
                                     exit_cause::crash,
                                     exit_cause::boot_timeout,
                                     exit_cause::launch_failure,
                                     exit_cause::recycled,
                                     exit_cause::scaled_down,
                                     exit_cause::replaced,
                                     exit_cause::stopped,
                                     exit_cause::hang,
                                     exit_cause::request_timeout,
                                     exit_cause::out_of_memory,
                                     exit_cause::killed,
                                     exit_cause::lost};

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
  const std::vector<row> table{
      {exit_cause::none, false, false},          {exit_cause::finished, true, true},
      {exit_cause::crash, true, true},           {exit_cause::boot_timeout, true, true},
      {exit_cause::launch_failure, true, true},  {exit_cause::recycled, false, false},
      {exit_cause::scaled_down, false, false},   {exit_cause::replaced, false, false},
      {exit_cause::stopped, false, false},       {exit_cause::hang, true, true},
      {exit_cause::request_timeout, true, true}, {exit_cause::out_of_memory, true, false},
      {exit_cause::killed, false, false},        {exit_cause::lost, true, true}};
  BOOST_TEST(table.size() == std::size(all_causes));
  for (auto& [cause, before_ready, after_ready] : table)
    for (bool was_ready : {false, true}) {
      auto decision = decide_restart({}, after(cause, was_ready, 999ms, 5));
      bool counts = was_ready ? after_ready : before_ready;
      BOOST_TEST(decision.failures == (counts ? 6u : 5u), to_string(cause) << ' ' << was_ready);
      BOOST_TEST((decision.delay == (counts ? 8s : 0s)), to_string(cause) << ' ' << was_ready);
    }
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

BOOST_AUTO_TEST_CASE(a_pool_starts_its_capacity_at_once_and_then_a_hundred_a_second) {
  for (unsigned target : {0u, 1u, 50u, 51u, 1000u}) {
    start_budget budget;
    const time_point now{1h};
    unsigned capacity = std::max(100u, 2 * target);
    for (unsigned i = 0; i < capacity; ++i) BOOST_REQUIRE((take_start(budget, target, now) == now));
    for (int i = 1; i <= 300; ++i) {
      auto late = take_start(budget, target, now) - now - 10ms * i;
      BOOST_REQUIRE((late >= 0ns && late < 10us));
    }
  }
}

BOOST_AUTO_TEST_CASE(tokens_come_back_up_to_the_capacity) {
  start_budget budget;
  time_point now{1h};
  for (int i = 0; i < 100; ++i) take_start(budget, 1, now);
  now += 500ms;
  for (int i = 0; i < 50; ++i) BOOST_TEST((take_start(budget, 1, now) == now));
  BOOST_TEST((take_start(budget, 1, now) > now));
  now += 24h;
  for (int i = 0; i < 100; ++i) BOOST_TEST((take_start(budget, 1, now) == now));
  BOOST_TEST((take_start(budget, 1, now) > now));
}

BOOST_AUTO_TEST_CASE(a_start_is_never_in_the_past_and_always_the_same) {
  start_budget one, two;
  time_point now{1h};
  for (std::uint64_t i = 0; i < 10'000; ++i) {
    auto step = duration(static_cast<std::int64_t>(word(i) % 20'000'000)) - 5ms;  // also backwards
    now += step;
    auto start = take_start(one, 3, now);
    BOOST_REQUIRE((start >= now));
    BOOST_REQUIRE((start == take_start(two, 3, now)));
    BOOST_REQUIRE((one == two));
  }
}

BOOST_AUTO_TEST_SUITE_END()
