// The decisions of a pool, by tables: a state, and the event that follows.
#include "supervision/decide.hpp"

#include <boost/test/unit_test.hpp>
#include <csignal>
#include <set>

#include "support/pool_of.hpp"

using namespace supervisor;
using namespace std::chrono_literals;
using test::next;
using test::noon;
using test::pool_of;
using test::ready;
using test::starting;

BOOST_AUTO_TEST_SUITE(decide)

BOOST_AUTO_TEST_CASE(size) {
  BOOST_TEST(next(pool_of(0)) == "nothing");
  BOOST_TEST(next(pool_of(2)) == "add 1 as 0 gen 1");
  BOOST_TEST(next(pool_of(2).slot(0, ready)) == "add 2 as 1 gen 1");
  BOOST_TEST(next(pool_of(2).slot(0, ready).slot(1, starting)) == "nothing");
  BOOST_TEST(next(pool_of(1).slot(0, ready).slot(1, ready)) == "retire 1 scaled_down");
  // The number of one that leaves is free again, and the lowest free one is taken.
  BOOST_TEST(next(pool_of(2).slot(0, phase::stopping).retiring().slot(1, ready)) ==
             "add 3 as 0 gen 1");
  BOOST_TEST(next(pool_of(3).slot(3, ready).slot(0, ready)) == "add 3 as 1 gen 1");
  BOOST_TEST(next(pool_of(1).slot(0, phase::backing_off).slot(1, ready)) == "retire 1 scaled_down");
}

BOOST_AUTO_TEST_CASE(stopping_and_draining) {
  BOOST_TEST(next(pool_of(1).slot(0, ready).with(&pool_state::stopping)) == "retire 1 stopped");
  BOOST_TEST(next(pool_of(1).slot(0, ready).with(&pool_state::drained)) == "retire 1 stopped");
  BOOST_TEST(next(pool_of(1).with(&pool_state::drained)) == "nothing");
  BOOST_TEST(next(pool_of(1).with(&pool_state::stopping)) == "stopped");
  auto leaving = pool_of(1).slot(0, phase::stopping).retiring().with(&pool_state::stopping);
  BOOST_TEST(next(leaving) == "nothing");
  BOOST_TEST(next(pool_of(1).with(&pool_state::stopping).with(&pool_state::stopped)) == "nothing");
  // One on trial leaves too.
  auto trial = pool_of(1).slot(0, ready).slot(0, starting).replacing(1);
  BOOST_TEST(next(trial.with(&pool_state::stopping)) == "retire 2 stopped");
}

BOOST_AUTO_TEST_CASE(restart_of_a_slot) {
  auto fresh = pool_of(1).slot(0, ready).slot(0, starting).replacing(1);
  BOOST_TEST(next(fresh) == "nothing");
  fresh.state.slots.back().now = ready;
  BOOST_TEST(next(fresh) == "retire 1 recycled");
  auto shrunk = pool_of(0).slot(0, phase::stopping).retiring().slot(0, starting).replacing(1);
  BOOST_TEST(next(shrunk) == "retire 2 stopped");
  auto scaled = pool_of(1).slot(0, phase::stopping).retiring().slot(0, starting).replacing(1);
  BOOST_TEST(next(scaled.slot(1, ready)) == "retire 2 scaled_down");
}

BOOST_AUTO_TEST_CASE(settled_means_that_nothing_moves) {
  auto is_settled = [](const pool_of& p) { return settled(p.state); };
  BOOST_TEST(is_settled(pool_of(0)));
  BOOST_TEST(is_settled(pool_of(1).slot(0, ready)));
  BOOST_TEST(is_settled(pool_of(1).slot(0, phase::backing_off)));
  for (auto now : {phase::waiting, phase::launching, starting, phase::stopping, phase::gone})
    BOOST_TEST(!is_settled(pool_of(1).slot(0, now)));
  BOOST_TEST(!is_settled(pool_of(2).slot(0, ready)));
  BOOST_TEST(!is_settled(pool_of(1).slot(0, ready).retiring()));
  BOOST_TEST(!is_settled(pool_of(1).slot(0, ready).slot(0, ready).replacing(1)));
  BOOST_TEST(!is_settled(pool_of(1).slot(0, ready, 2).rolling()));
  BOOST_TEST(!is_settled(pool_of(1).slot(0, ready, 2)));
  // A way back that is blocked.
  auto back = pool_of(1).slot(0, ready, 2);
  BOOST_TEST(!is_settled(pool_of(back).slot(0, starting).replacing(1)));
  BOOST_TEST(is_settled(pool_of(back).slot(0, phase::backing_off).replacing(1)));
  BOOST_TEST(!is_settled(pool_of(1).with(&pool_state::stopping)));
  BOOST_TEST(is_settled(pool_of(1).with(&pool_state::stopped)));
  BOOST_TEST(is_settled(pool_of(1).with(&pool_state::drained)));
}

BOOST_AUTO_TEST_CASE(what_is_asked_for_beside_a_rollout_does_not_wait_for_it) {
  auto is_settled = [](const pool_of& p) { return settled_beside_rollout(p.state); };
  auto two = pool_of(2).slot(0, ready).slot(1, ready).rolling();
  BOOST_TEST(is_settled(two));
  BOOST_TEST(is_settled(pool_of(two).slot(0, starting, 2).replacing(1)));
  BOOST_TEST(is_settled(pool_of(two).slot(0, phase::stopping).retiring(exit_cause::replaced)));
  BOOST_TEST(!is_settled(pool_of(two).slot(0, phase::stopping).retiring()));
  BOOST_TEST(!is_settled(pool_of(two).slot(0, starting).replacing(1)));  // a restart
  BOOST_TEST(!is_settled(pool_of(2).slot(0, ready).rolling()));
  BOOST_TEST(!is_settled(pool_of(1).slot(0, starting).rolling()));
  BOOST_TEST(!is_settled(pool_of(1).slot(0, ready, 2)));  // on its way back
  BOOST_TEST(!is_settled(pool_of(two).with(&pool_state::drained)));
}

BOOST_AUTO_TEST_CASE(needed_programs_are_those_of_somebody) {
  auto needed = [](const pool_state& p) {
    std::set<std::uint64_t> all;
    for (std::uint64_t generation = 0; generation < 9; ++generation)
      if (needs_program(p, generation)) all.insert(generation);
    return all;
  };
  using generations = std::set<std::uint64_t>;
  BOOST_TEST((needed(pool_of(1).state) == generations{1}));
  BOOST_TEST((needed(pool_of(1).rolling().state) == generations{1, 2}));
  auto three = pool_of(1).slot(0, ready, 3).state;
  BOOST_TEST((needed(three) == generations{1, 3}));
  auto kept = pool_of(1).state;
  kept.generation = kept.committed = 4;
  kept.kept = {3, 1};
  BOOST_TEST((needed(kept) == generations{1, 3, 4}));
  BOOST_TEST(needed(pool_of(1).with(&pool_state::stopped).state).empty());
}

BOOST_AUTO_TEST_CASE(who_asks_for_time_has_it_while_it_boots_or_leaves) {
  pool_state p;
  slot_state s;
  const struct {
    phase now;
    exit_cause why;
    bool quick, may;
  } table[] = {
      {phase::starting, exit_cause::none, false, true},
      {phase::starting, exit_cause::none, true, false},
      {phase::ready, exit_cause::none, false, false},
      {phase::stopping, exit_cause::replaced, false, true},
      {phase::stopping, exit_cause::stopped, false, true},
      {phase::stopping, exit_cause::stopped, true, false},
      {phase::stopping, exit_cause::hang, false, false},
      {phase::stopping, exit_cause::request_timeout, false, false},
  };
  for (auto& row : table) {
    s.now = row.now;
    s.stopped_for = row.why;
    p.quick = row.quick;
    BOOST_TEST(may_extend(p, s) == row.may);
  }
}

BOOST_AUTO_TEST_CASE(stop_ladder) {
  spec what("serve");
  what.stop = {{SIGQUIT, 10s}, {SIGTERM, 500ms}};
  auto step = [&](exit_cause why, unsigned n, bool quick) {
    return ladder_step(what, why, n, quick, noon);
  };
  auto stopped = exit_cause::stopped;
  BOOST_TEST((step(stopped, 0, false) == stop_order{SIGQUIT, noon + 10s}));
  BOOST_TEST((step(stopped, 1, false) == stop_order{SIGTERM, noon + 500ms}));
  BOOST_TEST((step(stopped, 2, false) == stop_order{SIGKILL, never}));
  BOOST_TEST((step(stopped, 0, true) == stop_order{SIGQUIT, noon + 1s}));
  BOOST_TEST((step(stopped, 1, true) == stop_order{SIGTERM, noon + 500ms}));
  BOOST_TEST((step(exit_cause::hang, 0, false) == stop_order{SIGABRT, noon + 5s}));
  BOOST_TEST((step(exit_cause::hang, 1, false) == stop_order{SIGKILL, never}));
  BOOST_TEST((step(exit_cause::request_timeout, 0, false) == stop_order{SIGABRT, noon + 5s}));
  what.stop = {{SIGTERM, duration::max()}};
  BOOST_TEST((step(stopped, 0, false) == stop_order{SIGTERM, never}));
}

BOOST_AUTO_TEST_CASE(causes_of_an_exit) {
  auto none = exit_cause::none;
  auto after = [&](exit_status how, exit_cause stopped_for = exit_cause::none, bool oom = false) {
    child_view seen;
    seen.exited = how;
    seen.out_of_memory = oom;
    return to_string(classify(&seen, stopped_for));
  };
  BOOST_TEST(after(exit_status::exited(0)) == "finished");
  BOOST_TEST(after(exit_status::exited(9)) == "crash");
  BOOST_TEST(after(exit_status::signalled(SIGSEGV)) == "crash");
  BOOST_TEST(after(exit_status::signalled(SIGABRT)) == "crash");
  BOOST_TEST(after(exit_status::signalled(SIGKILL)) == "killed");
  BOOST_TEST(after(exit_status::signalled(SIGTERM)) == "killed");
  BOOST_TEST(after(exit_status::signalled(SIGKILL), none, true) == "out_of_memory");
  BOOST_TEST(after(exit_status::lost()) == "lost");
  BOOST_TEST(after(exit_status::exited(0), exit_cause::replaced) == "replaced");
  BOOST_TEST(after(exit_status::signalled(SIGKILL), exit_cause::hang) == "hang");
  BOOST_TEST(to_string(classify(nullptr, none)) == "lost");
  BOOST_TEST(to_string(classify(nullptr, exit_cause::stopped)) == "stopped");
  child_view never_ran;
  never_ran.failed = launch_error{"exec", ENOENT, "/bin/nope"};
  BOOST_TEST(to_string(classify(&never_ran, none)) == "launch_failure");
  never_ran.failed = launch_error{"mold", ECANCELED, "it ended: SIGKILL"};
  BOOST_TEST(to_string(classify(&never_ran, none)) == "killed");
}

BOOST_AUTO_TEST_CASE(slots_at_rest_keep_their_place) {
  for (auto rest : {phase::finished, phase::given_up}) {
    auto p = pool_of(2).slot(0, ready).slot(1, rest);
    BOOST_TEST(next(p) == "nothing");
    BOOST_TEST(settled(p.state));
    // The next generation is tried in their place too.
    BOOST_TEST(next(pool_of(1).slot(0, rest).rolling()) == "add 2 as 0 gen 2 for 1");
  }
  auto job_done = pool_of(1).slot(0, ready).slot(0, phase::finished, 2).replacing(1).rolling();
  BOOST_TEST(next(job_done) == "retire 1 replaced");
  BOOST_TEST(next(pool_of(1).slot(0, phase::finished, 2).rolling()) == "commit 2");
  auto beaten = pool_of(1).slot(0, ready).slot(0, phase::given_up).replacing(1);
  BOOST_TEST(next(beaten) == "nothing");
  BOOST_TEST(!settled(beaten.state));
}

BOOST_AUTO_TEST_CASE(a_slot_that_escalates_takes_its_pool_along_once) {
  auto p = pool_of(2).slot(0, ready).slot(1, phase::given_up);
  auto& s = p.state.slots.back();
  s.escalates = true;
  s.window = {noon, noon + 20s, noon + 42s};
  s.last_cause = exit_cause::crash;
  s.last_exit = exit_status::exited(70);
  auto e = next_event(p.state, noon);
  BOOST_REQUIRE(e.has_value());
  BOOST_TEST((e->kind == event_kind::pool_escalated));
  BOOST_TEST(e->text == "slot 1: 3 failures in 42 s, exit 70");
  BOOST_TEST(e->cause == s.last_event);
  BOOST_TEST(next(p.with(&pool_state::escalated)) == "nothing");
}

BOOST_AUTO_TEST_CASE(another_start) {
  auto again = [](const pool_of& p, unsigned failures, exit_cause why = exit_cause::crash) {
    return stays_after(p.state, p.state.slots.back(), why, failures);
  };
  BOOST_TEST(again(pool_of(1).slot(0, ready), 5));
  BOOST_TEST(!again(pool_of(1).slot(0, ready).retiring(), 0));
  auto restarted = pool_of(1).slot(0, ready).slot(0, starting).replacing(1);
  BOOST_TEST(!again(restarted, 1));
  BOOST_TEST(again(restarted, 0, exit_cause::killed));
  auto rolled = pool_of(1).slot(0, ready).slot(0, starting, 2).replacing(1).rolling();
  BOOST_TEST(!again(rolled, 1));
  BOOST_TEST(!again(rolled, 0));  // in its bake
  BOOST_TEST(again(rolled, 0, exit_cause::killed));
  auto back = pool_of(1).slot(0, ready, 2).slot(0, starting, 1).replacing(1);
  BOOST_TEST(again(back, 1));
}

BOOST_AUTO_TEST_CASE(ready_without_a_word) {
  slot_state s;
  s.started_at = noon;
  spec function("serve");
  auto command = spec::command("/bin/server");
  BOOST_TEST((ready_unasked(function, s) == never));
  BOOST_TEST((ready_unasked(command, s) == noon + 500ms));
  function.ready = readiness::alive;
  command.ready = readiness::notify;
  BOOST_TEST((ready_unasked(function, s) == noon + 500ms));
  BOOST_TEST((ready_unasked(command, s) == never));
}

BOOST_AUTO_TEST_CASE(what_people_see) {
  auto p = pool_of(4)
               .slot(0, ready)
               .slot(1, phase::backing_off)
               .slot(2, phase::stopping)
               .slot(3, phase::waiting);
  auto it = p.state.slots.begin();
  it->pid = 4711;
  it->started_at = noon - 90s;
  it->status = "serving";
  ++it;
  it->deadline = noon + 6100ms;
  it->last_exit = exit_status::exited(70);
  it->last_cause = exit_cause::crash;
  ++it;
  it->stopped_for = exit_cause::replaced;
  it->deadline = noon + 12s;

  it = p.state.slots.begin();
  it->child = 12;
  auto sample = [](std::uint64_t child) {
    scoreboard seen;
    seen.requests = child;
    return std::optional(seen);
  };
  auto status = describe_pool(p.state, noon, sample);
  BOOST_REQUIRE(status.slots[0].work.has_value());
  BOOST_TEST(status.slots[0].work->requests == 12u);
  BOOST_TEST(!status.slots[1].work.has_value());  // no process, nothing to show
  BOOST_TEST(status.ready == 1u);
  BOOST_TEST(status.target == 4u);
  BOOST_TEST(status.slots[0].state == "ready");
  BOOST_TEST(status.slots[0].detail == "serving");
  BOOST_TEST((status.slots[0].uptime == 90s));
  BOOST_TEST(status.slots[1].state == "backing off");
  BOOST_TEST(status.slots[1].detail == "next start in 7 s, exit 70");
  BOOST_TEST(status.slots[1].last_exit == "exit 70 (crash)");
  BOOST_TEST(status.slots[2].state == "stopping");
  BOOST_TEST(status.slots[2].detail == "replaced, next step in 12 s");
  BOOST_TEST(status.slots[3].state == "waiting");
}

BOOST_AUTO_TEST_SUITE_END()
