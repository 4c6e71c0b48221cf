// When a keeper starts the next master: a table.
#include <boost/test/unit_test.hpp>

#include "keeper/decide.hpp"

using namespace supervisor;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(after_a_death)

BOOST_AUTO_TEST_CASE(the_next_master_comes_at_once_unless_they_die_one_after_the_other) {
  struct row {
    unsigned deaths;
    duration settled_for;
    unsigned in_a_row;
    duration delay;
  };
  const row rows[] = {
      {0, 1h, 1, 0s},  {0, 0s, 1, 0s},   {1, 999ms, 2, 0s}, {1, 1s, 1, 0s},        {2, 0s, 3, 1s},
      {3, 0s, 4, 2s},  {4, 0s, 5, 4s},   {5, 0s, 6, 8s},    {6, 0s, 7, 16s},       {7, 0s, 8, 32s},
      {8, 0s, 9, 60s}, {9, 0s, 10, 60s}, {9, 1s, 1, 0s},    {1000, 0s, 1001, 60s},
  };
  for (auto& r : rows) {
    BOOST_TEST_CONTEXT(r.deaths << " deaths before, settled for " << r.settled_for.count()
                                << " ns") {
      auto next = after_death(r.deaths, r.settled_for);
      BOOST_TEST(next.deaths == r.in_a_row);
      BOOST_TEST((next.delay == r.delay));
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
