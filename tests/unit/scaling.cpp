#include "supervisor/scaling.hpp"

#include <boost/test/unit_test.hpp>
#include <limits>
#include <vector>

using namespace supervisor;
using namespace std::chrono_literals;

namespace {

load seen(unsigned busy, unsigned idle, unsigned coming = 0, unsigned queued = 0) {
  load l;
  l.workers = busy + idle + coming;
  l.busy = busy;
  l.idle = idle;
  l.coming = coming;
  l.queued = queued;
  return l;
}
constexpr time_point noon{12h};

}  // namespace

BOOST_AUTO_TEST_SUITE(scaling)

BOOST_AUTO_TEST_CASE(spare_workers_between_two_numbers) {
  spare_workers policy;
  policy.min_spare = 4;
  policy.max_spare = 6;
  policy.least = 2;
  policy.most = 100;
  const struct {
    const char* name;
    load now;
    unsigned rate, workers, next_rate;
  } rows[] = {
      {"enough", seen(10, 5), 8, 15, 1},
      {"the lower bound", seen(10, 4), 1, 14, 1},
      {"the upper bound", seen(10, 6), 1, 16, 1},
      {"one too few", seen(10, 3), 1, 14, 2},
      {"too few, slowly at first", seen(10, 0), 1, 11, 2},
      {"then faster", seen(10, 0), 2, 12, 4},
      {"no more than are missing", seen(10, 1), 32, 14, 32},
      {"those that come count", seen(10, 1, 3), 8, 14, 1},
      {"too many, one at a time", seen(0, 50), 1, 49, 1},
      {"one that comes is not taken away", seen(0, 6, 5), 1, 11, 1},
      {"never fewer", seen(0, 0), 1, 2, 2},
      {"never more", seen(99, 0), 32, 100, 32},
      {"shrunk to the bound", seen(150, 5), 1, 100, 1},
  };
  for (auto& row : rows) {
    BOOST_TEST_INFO(row.name);
    spare_state state;
    state.rate = row.rate;
    BOOST_TEST(wanted(policy, row.now, state) == row.workers);
    BOOST_TEST(state.rate == row.next_rate);
  }
}

BOOST_AUTO_TEST_CASE(on_demand_one_for_each_that_waits) {
  on_demand policy;
  policy.most = 4;
  const struct {
    const char* name;
    load now;
    unsigned workers;
  } rows[] = {
      {"at rest", seen(0, 0), 0},
      {"the first", seen(0, 0, 0, 1), 1},
      {"three at once", seen(0, 0, 0, 3), 3},
      {"more than there may be", seen(0, 0, 0, 9), 4},
      {"who comes takes it", seen(0, 0, 1, 1), 1},
      {"who is idle takes it", seen(1, 1, 0, 1), 2},
      {"all are busy", seen(2, 0, 0, 1), 3},
      {"too many", seen(9, 0), 4},
  };
  for (auto& row : rows) {
    BOOST_TEST_INFO(row.name);
    demand_state state;
    BOOST_TEST(wanted(policy, row.now, noon, state) == row.workers);
  }
}

BOOST_AUTO_TEST_CASE(on_demand_those_that_nobody_needed_leave) {
  on_demand policy;
  demand_state state;
  auto after = [&](duration d, const load& l) { return wanted(policy, l, noon + d, state); };
  BOOST_TEST(after(0s, seen(3, 1)) == 4u);
  BOOST_TEST(after(5s, seen(1, 3)) == 4u);
  BOOST_TEST(after(9s, seen(0, 4)) == 4u);
  BOOST_TEST(after(10s, seen(0, 4)) == 3u);  // one was idle all the time
  BOOST_TEST(after(19s, seen(0, 3)) == 3u);
  BOOST_TEST(after(20s, seen(0, 3)) == 0u);
  BOOST_TEST(after(21s, seen(0, 0, 0, 1)) == 1u);
  BOOST_TEST(after(22s, seen(0, 0, 1)) == 1u);
  BOOST_TEST(after(40s, seen(0, 1)) == 1u);  // it has only just come
}

BOOST_AUTO_TEST_CASE(a_backlog_adds_and_calm_takes_away) {
  by_backlog policy;
  policy.depth = 2;
  policy.least = 1;
  policy.most = 10;
  policy.calm = 30s;
  backlog_state state;
  auto after = [&](duration d, const load& l) { return wanted(policy, l, noon + d, state); };
  BOOST_TEST(after(0s, seen(2, 0, 0, 2)) == 2u);  // so many may wait
  BOOST_TEST(after(1s, seen(2, 0, 0, 3)) == 3u);
  BOOST_TEST(after(2s, seen(2, 0, 1, 9)) == 3u);   // it is on its way
  BOOST_TEST(after(3s, seen(3, 0, 0, 99)) == 6u);  // at most twice as many
  BOOST_TEST(after(4s, seen(6, 0, 0, 99)) == 10u);
  BOOST_TEST(after(5s, seen(10, 0, 0, 99)) == 10u);
  BOOST_TEST(after(6s, seen(6, 4)) == 10u);
  BOOST_TEST(after(35s, seen(6, 4)) == 10u);
  BOOST_TEST(after(36s, seen(6, 4)) == 9u);
  BOOST_TEST(after(37s, seen(9, 0)) == 9u);
  BOOST_TEST(after(67s, seen(5, 4)) == 9u);  // all were busy once
  BOOST_TEST(after(68s, seen(8, 1)) == 9u);
  BOOST_TEST(after(98s, seen(8, 1)) == 8u);
  BOOST_TEST(state.patience == 1u);
  BOOST_TEST(after(99s, seen(8, 0, 0, 3)) == 9u);  // that was too early
  BOOST_TEST(state.patience == 2u);
  BOOST_TEST(after(100s, seen(8, 1)) == 9u);
  BOOST_TEST(after(159s, seen(8, 1)) == 9u);
  BOOST_TEST(after(160s, seen(8, 1)) == 8u);
}

BOOST_AUTO_TEST_CASE(a_metric_counts_at_once_when_it_rises) {
  by_metric policy([]() -> boost::asio::awaitable<double> { co_return 0; });
  policy.least = 2;
  policy.most = 20;
  policy.window = 60s;
  metric_state state;
  auto after = [&](duration d, double value) {
    return wanted(policy, seen(3, 1), value, noon + d, state);
  };
  BOOST_TEST(after(0s, std::numeric_limits<double>::quiet_NaN()) == 4u);  // no answer: as it is
  BOOST_TEST(after(0s, -1) == 4u);
  BOOST_TEST(after(0s, 4.1) == 5u);
  BOOST_TEST(after(10s, 9) == 9u);
  BOOST_TEST(after(20s, 3) == 9u);
  BOOST_TEST(after(30s, 6) == 9u);
  BOOST_TEST(after(70s, 1) == 9u);
  BOOST_TEST(after(71s, 1) == 6u);
  BOOST_TEST(after(91s, 1) == 2u);
  BOOST_TEST(after(92s, 1e300) == 20u);
  BOOST_TEST(after(93s, std::numeric_limits<double>::infinity()) == 20u);
}

BOOST_AUTO_TEST_CASE(bounds_hold_whatever_is_seen) {
  for (unsigned busy : {0u, 1u, 7u, 4'000'000'000u})
    for (unsigned idle : {0u, 1u, 9u})
      for (unsigned queued : {0u, 1u, 4'000'000'000u}) {
        auto l = seen(busy, idle, 0, queued);
        spare_workers spare;
        spare_state spares;
        auto n = wanted(spare, l, spares);
        BOOST_TEST((n >= spare.least && n <= spare.most));
        by_backlog backlog;
        backlog_state backlogs;
        n = wanted(backlog, l, noon, backlogs);
        BOOST_TEST((n >= backlog.least && n <= backlog.most));
        on_demand demand;
        demand_state demands;
        BOOST_TEST(wanted(demand, l, noon, demands) <= demand.most);
      }
}

BOOST_AUTO_TEST_SUITE_END()
