// The decisions of a rollout, by tables.
#include "supervision/rollout.hpp"

#include <boost/test/unit_test.hpp>

#include "support/pool_of.hpp"

using namespace supervisor;
using namespace std::chrono_literals;
using test::next;
using test::noon;
using test::pool_of;
using test::ready;
using test::starting;

BOOST_AUTO_TEST_SUITE(rollout)

BOOST_AUTO_TEST_CASE(one_at_a_time) {
  auto two = pool_of(2).slot(0, ready).slot(1, ready);
  BOOST_TEST(next(pool_of(two).rolling(false)) == "nothing");
  BOOST_TEST(next(pool_of(two).rolling()) == "add 3 as 0 gen 2 for 1");
  // One at a time.
  auto one_flies = pool_of(two).slot(0, starting, 2).replacing(1).rolling();
  BOOST_TEST(next(one_flies) == "nothing");
  auto one_stands = pool_of(two).slot(0, ready, 2).replacing(1).rolling();
  BOOST_TEST(next(one_stands) == "retire 1 replaced");
  // The next does not wait for the drain of the one before.
  auto drains = pool_of(2)
                    .slot(0, phase::stopping)
                    .retiring(exit_cause::replaced)
                    .slot(0, ready, 2)
                    .slot(1, ready)
                    .rolling();
  BOOST_TEST(next(drains) == "add 4 as 1 gen 2 for 3");
  auto all = pool_of(2).slot(0, ready, 2).slot(1, ready, 2).rolling();
  BOOST_TEST(next(all) == "commit 2");
  BOOST_TEST(next(pool_of(2).slot(0, ready, 2).slot(1, starting, 2).rolling()) == "nothing");
  BOOST_TEST(next(pool_of(0).rolling()) == "commit 2");
  BOOST_TEST(next(pool_of(2).rolling().with(&pool_state::drained)) == "nothing");
}

BOOST_AUTO_TEST_CASE(a_new_slot_during_a_rollout) {
  BOOST_TEST(next(pool_of(2).slot(0, ready).rolling(false)) == "add 2 as 1 gen 1");
  BOOST_TEST(next(pool_of(2).slot(0, ready).rolling(true)) == "add 2 as 1 gen 2");
  // A new place takes no risk before the canary has passed.
  BOOST_TEST(next(pool_of(2).slot(0, ready).canary(1)) == "add 2 as 1 gen 1");
  BOOST_TEST(next(pool_of(2).slot(0, ready).canary(1).missing(1)) == "add 2 as 1 gen 2");
}

BOOST_AUTO_TEST_CASE(a_canary_comes_first) {
  auto three = pool_of(3).slot(0, ready).slot(1, ready).slot(2, ready);
  BOOST_TEST(next(pool_of(three).canary(1)) == "add 4 as 0 gen 2 for 1");
  auto one = pool_of(three).slot(0, starting, 2).replacing(1);
  BOOST_TEST(next(pool_of(one).canary(1)) == "nothing");
  BOOST_TEST(next(pool_of(one).canary(2)) == "add 5 as 1 gen 2 for 2");
  auto ripe = pool_of(three).slot(0, ready, 2).replacing(1);
  BOOST_TEST(next(pool_of(ripe).canary(1)) == "baked");
  BOOST_TEST(next(pool_of(ripe).canary(1, 30s)) == "bake 30");
  // Nobody leaves before the bake is over.
  BOOST_TEST(next(pool_of(ripe).canary(1, 30s).bakes(noon + 30s)) == "nothing");
  BOOST_TEST(next(pool_of(ripe).canary(1, 30s).bakes(noon)) == "baked");
  BOOST_TEST(next(pool_of(ripe).rolling()) == "retire 1 replaced");
  // A canary is no larger than its pool.
  BOOST_TEST(next(pool_of(1).slot(0, ready).slot(0, ready, 2).replacing(1).canary(5)) == "baked");
  // A health check has the last word.
  auto asked = pool_of(ripe).canary(1).bakes(noon);
  asked.state.roll.plan.ask_every = 1s;
  BOOST_TEST(next(asked) == "nothing");
  asked.state.roll.judged = true;
  BOOST_TEST(next(asked) == "baked");
}

BOOST_AUTO_TEST_CASE(batches) {
  auto four = pool_of(4).slot(0, ready, 2).slot(1, ready).slot(2, ready).slot(3, ready).rolling();
  BOOST_TEST(next(pool_of(four).batch(2)) == "add 5 as 1 gen 2 for 2");
  auto one = pool_of(four).slot(1, starting, 2).replacing(2);
  BOOST_TEST(next(pool_of(one).batch(1)) == "nothing");
  BOOST_TEST(next(pool_of(one).batch(2)) == "add 6 as 2 gen 2 for 3");
  BOOST_TEST(next(pool_of(one).slot(2, starting, 2).replacing(3).batch(2)) == "nothing");
  // One that does not serve comes first.
  auto broken = pool_of(2).slot(0, ready).slot(1, phase::backing_off).rolling();
  BOOST_TEST(next(broken) == "add 3 as 1 gen 2 for 2");
}

BOOST_AUTO_TEST_CASE(old_ones_leave_first_where_some_may_be_missing) {
  auto three = pool_of(3).slot(0, ready).slot(1, ready).slot(2, ready);
  BOOST_TEST(next(pool_of(three).canary(1).missing(1)) == "retire 1 replaced");
  // The place is kept free until the old one is gone.
  auto leaves = pool_of(3)
                    .slot(0, phase::stopping)
                    .retiring(exit_cause::replaced)
                    .slot(1, ready)
                    .slot(2, ready)
                    .missing(1);
  BOOST_TEST(next(pool_of(leaves).canary(1).missing(1)) == "nothing");
  BOOST_TEST(next(pool_of(leaves).rolling()) == "nothing");
  auto gone = pool_of(3).slot(1, ready).slot(2, ready).missing(1);
  BOOST_TEST(next(pool_of(gone).canary(1)) == "add 3 as 0 gen 2");
  auto rises = pool_of(3).slot(1, ready).slot(2, ready).slot(0, starting, 2).missing(1);
  BOOST_TEST(next(pool_of(rises).canary(1)) == "nothing");
  BOOST_TEST(next(pool_of(rises).rolling()) == "nothing");
  BOOST_TEST(next(pool_of(rises).missing(2).batch(2).rolling()) == "retire 1 replaced");
  // One that does not serve is no loss.
  auto broken = pool_of(3).slot(1, ready).slot(2, phase::backing_off).slot(0, starting, 2);
  BOOST_TEST(next(broken.missing(1).batch(2).rolling()) == "retire 2 replaced");
  auto stands = pool_of(3).slot(1, ready).slot(2, ready).slot(0, ready, 2).missing(1);
  BOOST_TEST(next(pool_of(stands).canary(1)) == "baked");
  BOOST_TEST(next(pool_of(stands).rolling()) == "retire 1 replaced");
  // The way back is the same.
  auto back = pool_of(2).slot(0, ready, 2).slot(1, ready).missing(1);
  BOOST_TEST(next(back) == "retire 1 replaced");
}

BOOST_AUTO_TEST_CASE(a_paused_rollout_stands) {
  auto paused = [](pool_of p) {
    p.state.roll.paused = true;
    return next(p);
  };
  auto two = pool_of(2).slot(0, ready).slot(1, ready);
  auto ripe = pool_of(two).slot(0, ready, 2).replacing(1);
  BOOST_TEST(paused(pool_of(two).canary(1)) == "nothing");
  BOOST_TEST(paused(pool_of(ripe).canary(1)) == "nothing");
  BOOST_TEST(paused(pool_of(ripe).canary(1, 9s).bakes(noon)) == "nothing");
  BOOST_TEST(paused(pool_of(ripe).rolling()) == "nothing");
  BOOST_TEST(paused(pool_of(2).slot(0, ready, 2).slot(1, ready, 2).rolling()) == "nothing");
  BOOST_TEST(paused(pool_of(two).rolling().trouble()) == "give up 2: slot 0: exit 1 (crash)");
  // The pool itself goes on.
  BOOST_TEST(paused(pool_of(2).slot(0, ready).rolling()) == "add 2 as 1 gen 2");
}

BOOST_AUTO_TEST_CASE(no_progress_is_a_failure) {
  auto stuck = pool_of(1).slot(0, ready).slot(0, starting, 2).replacing(1).canary(1);
  stuck.state.roll.progress_by = noon + 10min;
  BOOST_TEST((next_look(stuck.state) == noon + 10min));
  BOOST_TEST(next(stuck, noon + 9min) == "nothing");
  BOOST_TEST(next(stuck, noon + 10min) == "give up 2: no progress for 10 min (canary)");
  auto baking = pool_of(1).slot(0, ready).slot(0, ready, 2).replacing(1).canary(1, 30s);
  baking.bakes(noon + 30s).state.roll.progress_by = noon + 1h;
  BOOST_TEST((next_look(baking.state) == noon + 30s));
  for (auto flag : {&pool_state::drained, &pool_state::stopping})
    BOOST_TEST((next_look(pool_of(stuck).with(flag).state) == never));
  BOOST_TEST((next_look(pool_of(1).slot(0, ready).state) == never));
}

BOOST_AUTO_TEST_CASE(trouble) {
  auto rolling = pool_of(1).slot(0, ready).slot(0, phase::gone, 2).replacing(1).rolling();
  BOOST_TEST(next(pool_of(rolling).trouble()) == "give up 2: slot 0: exit 1 (crash)");
  BOOST_TEST(next(pool_of(1).slot(0, ready).trouble()) == "nothing");
  BOOST_TEST(next(pool_of(rolling).with(&pool_state::stopping).trouble()) == "retire 2 stopped");
}

BOOST_AUTO_TEST_CASE(what_speaks_against_a_program) {
  struct {
    exit_cause why;
    bool at_once, later;  // before it was ready or soon after; when it had served for a while
  } const rows[] = {
      {exit_cause::crash, true, true},           {exit_cause::hang, true, true},
      {exit_cause::boot_timeout, true, true},    {exit_cause::launch_failure, true, true},
      {exit_cause::request_timeout, true, true}, {exit_cause::out_of_memory, true, true},
      {exit_cause::probe, true, true},           {exit_cause::finished, true, false},
      {exit_cause::lost, true, false},           {exit_cause::killed, false, false},
      {exit_cause::scaled_down, false, false},   {exit_cause::recycled, false, false},
      {exit_cause::replaced, false, false},      {exit_cause::stopped, false, false},
  };
  for (auto& row : rows) {
    BOOST_TEST(speaks_against(row.why, 1) == row.at_once, to_string(row.why));
    BOOST_TEST(speaks_against(row.why, 0) == row.later, to_string(row.why));
  }
}

BOOST_AUTO_TEST_CASE(the_way_back) {
  // Given up with one of two replaced: it is replaced back the same way.
  auto mixed = pool_of(2).slot(0, ready, 2).slot(1, ready, 1);
  BOOST_TEST(next(mixed) == "add 3 as 0 gen 1 for 1");
  // The one on trial is moot.
  auto flying = pool_of(2).slot(0, ready).slot(0, starting, 2).replacing(1).slot(1, ready);
  BOOST_TEST(next(flying) == "retire 2 replaced");
}

BOOST_AUTO_TEST_SUITE_END()
