// A rollout that is paused, aborted, superseded, undone, or taken over.
#include "support/rolling_world.hpp"

using namespace supervisor;
using namespace std::chrono_literals;
namespace asio = boost::asio;
using test::always;
using test::exits_at_boot;
using world = test::rolling_world;

BOOST_AUTO_TEST_SUITE(rollout_commands)

// --- Commands.

BOOST_FIXTURE_TEST_CASE(a_paused_rollout_waits_at_every_stage, world) {
  for (auto stage : {"canary", "baking", "replacing"}) {
    BOOST_TEST_CONTEXT(stage) {
      auto generation = state().generation + 1;
      auto rolled = begin(web->roll(rollout_options().bake(10s).progress_deadline(1min)));
      BOOST_TEST(await_stage(stage));
      BOOST_TEST(run(web->pause_rollout()).ok);
      BOOST_TEST(run(web->pause_rollout()).ok);  // it is
      auto begun = count_of(generation);
      host.run_for(1h);
      BOOST_TEST(!rolled->has_value());
      BOOST_TEST(stage_now() == stage);
      BOOST_TEST(web->status().rollout->paused);
      BOOST_TEST(count_of(generation) == begun);
      BOOST_TEST(run(web->resume_rollout()).ok);
      await(rolled);
      BOOST_TEST((*rolled)->ok);
      check_all_are(generation);
    }
  }
}

BOOST_FIXTURE_TEST_CASE(what_fails_in_a_pause_is_rolled_back, world) {
  bad = [](script& s, unsigned) {
    s.exits_after = 1min;
    s.exit_with = exit_status::exited(1);
  };
  auto rolled = begin(web->roll(rollout_options().bake(10s)));
  BOOST_TEST(await_stage("baking"));
  run(web->pause_rollout());
  check_failed(rolled, 1, "exit 1 (crash)");
  BOOST_TEST((run(web->resume_rollout()).error == errc::no_rollout));
}

BOOST_FIXTURE_TEST_CASE(an_abort_brings_all_back_at_every_stage, world) {
  bad = [](script& s, unsigned) { s.ready_after = 5s; };
  host.on_open = [](auto&, auto) {
    program_script s;
    s.opens_after = 1s;
    return s;
  };
  for (auto stage : {"opening", "canary", "baking", "replacing"}) {
    BOOST_TEST_CONTEXT(stage) {
      auto rolled = begin(web->roll(rollout_options().bake(10s)));
      BOOST_TEST(await_stage(stage));
      if (stage == std::string("replacing")) host.run_for(12s);
      auto aborted = begin(web->abort_rollout("too slow"));
      host.poll();
      BOOST_TEST((state().history.back().end == rollout_end::aborted));
      await(rolled);
      BOOST_TEST(((*rolled)->error == errc::rolled_back));
      BOOST_TEST((*rolled)->reason == "aborted: too slow");
      await(aborted);
      BOOST_TEST((*aborted)->ok);
      check_all_are(1);
    }
  }
}

BOOST_FIXTURE_TEST_CASE(without_a_rollout_there_is_nothing_to_command, world) {
  for (auto outcome :
       {run(web->pause_rollout()), run(web->resume_rollout()), run(web->abort_rollout())}) {
    BOOST_TEST((outcome.error == errc::no_rollout));
  }
  BOOST_TEST((run(web->undo()).error == errc::not_kept));
  BOOST_TEST(run(web->stop()).ok);
  BOOST_TEST((run(web->pause_rollout()).error == errc::pool_closed));
  BOOST_TEST((run(web->undo()).error == errc::pool_closed));
}

BOOST_FIXTURE_TEST_CASE(a_second_rollout_supersedes_the_first_at_every_stage, world) {
  for (auto stage : {"canary", "baking", "replacing"}) {
    BOOST_TEST_CONTEXT(stage) {
      auto first = begin(web->roll(rollout_options().bake(10s)));
      BOOST_TEST(await_stage(stage));
      auto second = run(web->roll());
      BOOST_TEST(second.ok);
      BOOST_TEST((first->value().error == errc::superseded));
      check_all_are(state().last_generation);
    }
  }
}

BOOST_FIXTURE_TEST_CASE(one_that_supersedes_and_fails_goes_back_to_the_last_committed, world) {
  auto first = begin(web->roll());
  BOOST_TEST(await_stage("replacing"));
  host.run_for(2s);
  BOOST_TEST(count_of(2) > 1u);
  bad = [](script& s, unsigned) { exits_at_boot(s); };
  check_failed(begin(web->roll()), 1, "exit 70 (crash)");
}

// --- Back to what was.

BOOST_FIXTURE_TEST_CASE(undo_goes_back_to_what_is_kept, world) {
  using numbers = std::vector<std::uint64_t>;
  spec second("serve");
  second.env("NEW", "yes");
  BOOST_TEST(run(web->roll(second)).ok);
  check_all_are(2);
  BOOST_TEST((web->status().kept == numbers{1}));
  unsigned opened = 0;
  host.on_open = [&](auto&, auto) {
    ++opened;
    return program_script();
  };
  BOOST_TEST(run(web->undo()).ok);
  check_all_are(1);
  BOOST_TEST(opened == 0u);  // its program was kept open
  BOOST_TEST(keeper().what(state().generation).environment.empty());
  BOOST_TEST((web->status().kept == numbers{2}));
  BOOST_TEST(run(web->undo()).ok);  // the undo's
  check_all_are(2);
  // The next new one has a new number.
  BOOST_TEST(run(web->roll()).ok);
  check_all_are(3);
  auto refused = run(web->undo(1));
  BOOST_TEST((refused.error == errc::not_kept));
  BOOST_TEST(refused.reason == "generation 1 is not kept; kept: 2");
  BOOST_TEST(run(web->undo(3)).reason == "generation 3 serves already; kept: 2");
}

BOOST_FIXTURE_TEST_CASE(more_than_one_may_be_kept, world) {
  web->rollouts(rollout_options().keep_generations(3));
  for (int i = 0; i < 4; ++i) BOOST_TEST(run(web->roll()).ok);
  BOOST_TEST((web->status().kept == std::vector<std::uint64_t>{4, 3, 2}));
  BOOST_TEST(run(web->undo(2)).ok);
  check_all_are(2);
  BOOST_TEST((web->status().kept == std::vector<std::uint64_t>{5, 4, 3}));
  BOOST_TEST(!host.program("web", 1).open);
}

BOOST_FIXTURE_TEST_CASE(none_may_be_kept, world) {
  BOOST_TEST(run(web->roll(rollout_options().keep_generations(0))).ok);
  BOOST_TEST(!host.program("web", 1).open);
  BOOST_TEST(run(web->undo()).reason == "no generation before this one is kept");
}

BOOST_FIXTURE_TEST_CASE(an_undo_is_gated_too, world) {
  BOOST_TEST(run(web->roll()).ok);
  bad = {};
  host.on_launch = [](const launch_request& r) {
    script s;
    if (r.generation == 1) exits_at_boot(s);
    return s;
  };
  auto undone = run(web->undo({}, rollout_options().bake(5s)));
  BOOST_TEST((undone.error == errc::rolled_back));
  check_all_are(2);
  BOOST_TEST((web->status().kept == std::vector<std::uint64_t>{1}));
}

BOOST_FIXTURE_TEST_CASE(undo_of_a_rollout_under_way_is_its_abort, world) {
  BOOST_TEST(run(web->roll()).ok);
  auto rolled = begin(web->roll(rollout_options().bake(30s)));
  BOOST_TEST(await_stage("baking"));
  BOOST_TEST(run(web->undo()).ok);
  BOOST_TEST(((*rolled)->error == errc::rolled_back));
  check_all_are(2);
  // One before that is another rollout.
  auto next = begin(web->roll(rollout_options().bake(30s)));
  BOOST_TEST(await_stage("baking"));
  BOOST_TEST(run(web->undo(1)).ok);
  BOOST_TEST(((*next)->error == errc::superseded));
  check_all_are(1);
}

// --- State is data.

BOOST_FIXTURE_TEST_CASE(a_new_supervisor_goes_on_with_a_bake, world) {
  unsigned asked = 0;
  auto how = rollout_options().bake(30s).healthy([&](auto) { return always(++asked < 20); }, 2s);
  begin(web->roll(how));
  BOOST_TEST(await_stage("baking"));
  host.run_for(10s);
  BOOST_TEST(asked == 6u);
  auto written = state();
  auto specs = keeper().specs();
  crash();
  boot();
  web = sup->adopt(std::move(written), std::move(specs));
  host.run_for(1min);
  BOOST_TEST(asked == 6u);  // it has no health check yet, and does not go on without
  BOOST_TEST(stage_now() == "baking");
  web->rollouts(how);
  BOOST_TEST(run(web->settled()).ok);
  BOOST_TEST(asked == 7u);  // the time is over
  check_all_are(2);
}

BOOST_FIXTURE_TEST_CASE(signals_are_served_during_a_bake, world) {
  auto how = rollout_options().bake(10min);
  unsigned served = 0;
  auto policy = [&]() -> asio::awaitable<bool> {
    handlers on;
    on(SIGHUP, [&](signal_event) -> asio::awaitable<void> { co_await web->roll(how); });
    on(SIGTTIN, [&](signal_event) -> asio::awaitable<void> {
      ++served;
      co_await web->resize(web->size() + 1);
    });
    until end{SIGTERM};
    auto last = co_await sup->serve(on, std::move(end));
    co_return last.number == SIGTERM;
  };
  auto serving = begin(policy());
  host.poll();
  send(SIGHUP);
  BOOST_TEST(await_stage("baking"));
  auto now = host.now();
  send(SIGTTIN);
  host.poll();
  BOOST_TEST(served == 1u);
  BOOST_TEST(web->size() == 5u);
  send(SIGTERM);
  host.poll();
  BOOST_TEST(serving->value());
  BOOST_TEST((host.now() == now));
}

BOOST_AUTO_TEST_SUITE_END()
