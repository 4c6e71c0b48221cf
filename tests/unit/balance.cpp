// Which worker is to have the next connection.
#include "worker/balance.hpp"

#include <boost/test/unit_test.hpp>

using supervisor::is_too_much;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(balance)

BOOST_AUTO_TEST_CASE(a_share_is_the_mean_and_a_little_more) {
  struct {
    unsigned own, all, workers;
    bool too_much;
  } const table[] = {
      // Nobody to share with.
      {0, 0, 1, false},
      {500, 500, 1, false},
      // Sparse traffic is nobody's burden.
      {0, 0, 2, false},
      {3, 3, 2, false},
      {4, 4, 2, true},
      {4, 5, 2, false},
      // A larger pool shares sooner.
      {1, 1, 4, false},
      {2, 2, 4, true},
      {2, 5, 4, false},
      // 64 on 2: 34 and 30 at the worst.
      {33, 64, 2, false},
      {34, 64, 2, true},
      {30, 64, 2, false},
      // A sixteenth above a large mean.
      {530, 1000, 2, false},
      {531, 1000, 2, true},
      // Who has none takes all it can.
      {0, 64, 2, false},
  };
  for (auto& row : table) {
    BOOST_TEST_CONTEXT(row.own << " of " << row.all << " on " << row.workers) {
      supervisor::share_of_load load{row.own, row.all, row.workers};
      BOOST_TEST(is_too_much(load) == row.too_much);
    }
  }
}

BOOST_AUTO_TEST_CASE(who_steps_aside_in_vain_stops_for_a_while) {
  supervisor::balance sharing;
  supervisor::balance::time now{1h};
  for (unsigned i = 0; i < sharing.most_moments; ++i) {
    BOOST_TEST(sharing.worth_asking(now));
    sharing.answered(false, now);
  }
  BOOST_TEST(!sharing.worth_asking(now));
  BOOST_TEST(!sharing.worth_asking(now + sharing.rest - 1ns));
  BOOST_TEST(sharing.worth_asking(now + sharing.rest));
}

BOOST_AUTO_TEST_CASE(a_sibling_that_came_is_waited_for_again) {
  supervisor::balance sharing;
  const supervisor::balance::time now{1h};
  for (unsigned i = 1; i < sharing.most_moments; ++i) sharing.answered(false, now);
  sharing.answered(true, now);
  for (unsigned i = 1; i < sharing.most_moments; ++i) sharing.answered(false, now);
  BOOST_TEST(sharing.worth_asking(now));
}

BOOST_AUTO_TEST_SUITE_END()
