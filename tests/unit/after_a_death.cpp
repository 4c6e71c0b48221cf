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

BOOST_AUTO_TEST_CASE(on_trial_every_death_leads_back_to_the_program_before_and_at_once) {
  for (unsigned deaths : {0u, 1u, 9u})
    for (duration settled_for : {duration(0s), duration(1s), duration(59s)}) {
      auto next = after_death(deaths, settled_for, true);
      BOOST_TEST(next.go_back);
      BOOST_TEST(next.deaths == 0u);
      BOOST_TEST((next.delay == 0s));
    }
  BOOST_TEST(!after_death(9, 0s).go_back);
}

BOOST_AUTO_TEST_CASE(a_trial_ends_with_an_answer_after_a_minute_or_without_one_at_any_time) {
  struct row {
    duration settled_for;
    bool has_answered;
    trial_verdict verdict;
  };
  const row rows[] = {
      {0s, true, trial_verdict::ask},     {10s, true, trial_verdict::ask},
      {10s, false, trial_verdict::hung},  {59s, true, trial_verdict::ask},
      {60s, true, trial_verdict::proven}, {60s, false, trial_verdict::hung},
      {1h, true, trial_verdict::proven},
  };
  for (auto& r : rows)
    BOOST_TEST((judge_trial(r.settled_for, r.has_answered) == r.verdict), r.settled_for.count());
}

BOOST_AUTO_TEST_SUITE_END()
