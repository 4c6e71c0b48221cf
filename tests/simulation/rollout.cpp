// A rollout: its canary, its bake, its batches, and every way back.
#include "support/rolling_world.hpp"

using namespace supervisor;
using namespace std::chrono_literals;
using test::answer;
using test::exits_at_boot;
using test::extremes;
using world = test::rolling_world;

namespace {

struct failure_kind {
  const char* reason;
  void (*spoil)(script&);
};
const failure_kind kinds[] = {
    {"exec /srv/web: No such file or directory (launch_failure)",
     [](script& s) { s.launch_fails = launch_error{"exec", ENOENT, "/srv/web"}; }},
    {"exit 70 (crash)", exits_at_boot},
    {"exit 0 (finished)",
     [](script& s) {
       exits_at_boot(s);
       s.exit_with = exit_status::exited(0);
     }},
    {"(boot_timeout)", [](script& s) { s.ready_after.reset(); }},
    {"SIGSEGV (crash)",
     [](script& s) {  // well after it was ready
       s.exits_after = 6s;
       s.exit_with = exit_status::signalled(SIGSEGV);
     }},
    {"(out_of_memory)",
     [](script& s) {
       s.exits_after = 6s;
       s.exit_with = exit_status::signalled(SIGKILL);
       s.out_of_memory = true;
     }},
    {"(probe)", [](script& s) { s.status = "ill"; }},
    {"(hang)", [](script& s) { s.hangs_after = 5s; }},
    {"(request_timeout)", [](script& s) { s.overdue_after = 5s; }},
};

/// What the workers of every kind are: looked at, and one that says that it is ill answers 500.
spec watched(world& w) {
  w.host.on_probe = [&w](child_id id, auto&) {
    probe_answer answer;
    if (w.host.look(id).status == "ill") answer.result = {false, "500 Internal Server Error"};
    return answer;
  };
  spec what("serve");
  what.liveness.push_back(
      ::supervisor::probe::http("127.0.0.1:{9100+slot}").every(2s).ill_after(2));
  return what;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(rollout)

// --- The way forth.

BOOST_FIXTURE_TEST_CASE(a_canary_bakes_and_batches_follow, world) {
  extremes seen(*this);
  auto began = host.now();
  auto rolled = begin(web->roll(rollout_options().bake(30s).batch(2)));
  BOOST_TEST(await_stage("baking"));
  BOOST_TEST(count_of(2) == 1u);
  BOOST_TEST(count_of(1) == 4u);  // nobody was told to leave
  auto baking = *web->status().rollout;
  BOOST_TEST((baking.bake_left == 30s));
  BOOST_TEST(baking.generation == 2u);
  BOOST_TEST(baking.committed == 1u);
  host.run_for(29s);
  BOOST_TEST(count_of(1) == 4u);
  BOOST_TEST(await_stage("replacing"));
  BOOST_TEST((host.now() - began == 31s));
  await(rolled);
  BOOST_TEST((*rolled)->ok);
  check_all_are(2);
  BOOST_TEST(seen.least == 4u);
  BOOST_TEST(seen.most == 6u);
  BOOST_TEST(!web->status().rollout.has_value());
  BOOST_TEST((state().history.back().end == rollout_end::committed));
}

BOOST_FIXTURE_TEST_CASE(several_canaries_bake_together, world) {
  auto rolled = begin(web->roll(rollout_options().canary(3).bake(10s)));
  BOOST_TEST(await_stage("baking"));
  BOOST_TEST(count_of(2) == 3u);
  await(rolled);
  BOOST_TEST((*rolled)->ok);
  check_all_are(2);
}

BOOST_FIXTURE_TEST_CASE(old_ones_leave_first, world) {
  extremes seen(*this);
  auto rolled = begin(web->roll(rollout_options().max_unavailable(1).bake(10s)));
  BOOST_TEST(await_stage("baking"));
  BOOST_TEST(host.living().size() == 4u);
  await(rolled);
  BOOST_TEST((*rolled)->ok);
  check_all_are(2);
  BOOST_TEST(seen.least == 3u);
  BOOST_TEST(seen.living == 4u);  // never more than that
}

BOOST_FIXTURE_TEST_CASE(two_at_a_time_leave_first, world) {
  extremes seen(*this);
  BOOST_TEST(run(web->roll(rollout_options().canary(0).max_unavailable(2).batch(4))).ok);
  check_all_are(2);
  BOOST_TEST(seen.least == 2u);
  BOOST_TEST(seen.living == 4u);
}

BOOST_FIXTURE_TEST_CASE(all_at_once_without_a_canary, world) {
  extremes seen(*this);
  BOOST_TEST(run(web->roll(rollout_options().canary(0).batch(100))).ok);
  check_all_are(2);
  BOOST_TEST(seen.most == 8u);
  BOOST_TEST(seen.least == 4u);
}

BOOST_FIXTURE_TEST_CASE(a_pool_may_say_how_all_its_rollouts_go, world) {
  web->rollouts(rollout_options().bake(10s));
  auto began = host.now();
  BOOST_TEST(run(web->roll()).ok);
  BOOST_TEST((host.now() - began > 10s));
  BOOST_TEST(run(web->roll(spec("serve"))).ok);
  BOOST_TEST((host.now() - began > 20s));
  BOOST_CHECK_THROW(web->rollouts(rollout_options().batch(0)), std::invalid_argument);
  BOOST_TEST((run(web->roll(rollout_options().batch(0))).error == errc::invalid_argument));
  BOOST_TEST(
      (run(web->roll(rollout_options().canary(0).bake(1s))).error == errc::invalid_argument));
  check_all_are(3);
}

// --- Every way to fail, at every stage.

BOOST_AUTO_TEST_CASE(every_failure_of_every_worker_brings_all_old_ones_back) {
  for (auto& kind : kinds)
    for (unsigned nth : {1u, 2u, 4u})
      for (unsigned missing : {0u, 1u})
        for (unsigned batch : {1u, 2u}) {
          BOOST_TEST_CONTEXT(kind.reason << ", worker " << nth << ", missing " << missing
                                         << ", batches of " << batch) {
            world w;
            w.bad = [&](script& s, unsigned n) {
              if (n == nth) kind.spoil(s);
            };
            extremes seen(w);
            auto how = rollout_options().bake(30s).batch(batch).max_unavailable(missing);
            // The last one may serve for long enough to be committed.
            auto rolled = w.begin(w.web->roll(watched(w), std::move(how)));
            w.await(rolled);
            bool late = nth > 1 && ((*rolled)->ok || (*rolled)->error == errc::degraded);
            if (!late) {
              w.check_failed(rolled, 1, kind.reason);
              BOOST_TEST(w.host.program("web", 1).open);
              BOOST_TEST(!w.host.program("web", 2).open);
              // What crashes after it had a place is missing until its successor serves.
              BOOST_TEST(seen.least >= 4u - std::max(missing, nth > 1 ? 2u : 0u));
              BOOST_TEST(seen.most <= 4u + (missing ? 0u : batch));
              if (missing) BOOST_TEST(seen.living <= 4u);
            }
            w.bad = {};
            BOOST_TEST(w.run(w.web->roll()).ok);
            w.check_all_are(3);
          }
        }
}

BOOST_FIXTURE_TEST_CASE(a_way_back_that_is_blocked_is_told, world) {
  bool old_ones_start = false;
  host.on_launch = [&](const launch_request& r) {
    script s;
    s.ready_after = 1s;
    if (r.generation == 1 && !old_ones_start)
      s.launch_fails = launch_error{"exec", ENOENT, "/srv/old"};
    if (r.generation == 2 && r.slot == 2) exits_at_boot(s);
    return s;
  };
  auto outcome = run(web->roll());
  BOOST_TEST((outcome.error == errc::rolled_back));
  BOOST_TEST(outcome.reason ==
             "slot 2: exit 70 (crash); now slot 0 is backing off: exec /srv/old: No such file or "
             "directory (launch_failure)");
  BOOST_TEST(web->ready() == 4u);  // the new ones that work stay until the old ones do
  BOOST_TEST(stage_now() == "going back");
  old_ones_start = true;
  BOOST_TEST(host.run_until([&] { return stage_now().empty(); }, 5min));
  settle(*web);
  check_all_are(1);
}

BOOST_FIXTURE_TEST_CASE(each_slot_has_its_reason, world) {
  bad = [](script& s, unsigned n) {
    exits_at_boot(s);
    s.exit_with = exit_status::exited(static_cast<int>(n));
  };
  auto outcome = run(web->roll(rollout_options().canary(2)));
  BOOST_TEST(outcome.reason == "slot 0: exit 1 (crash); slot 1: exit 2 (crash)");
  BOOST_TEST(outcome.reason == last(event_kind::rollout_failed)->text);
  check_all_are(1);
}

BOOST_FIXTURE_TEST_CASE(a_program_that_does_not_open_touches_nobody, world) {
  auto before = host.living();
  host.on_open = [](auto&, auto) {
    program_script s;
    s.opens_after = 1s;
    s.fails = launch_error{"exec", ENOENT, "/srv/web"};
    return s;
  };
  check_failed(begin(web->roll(rollout_options().bake(10s))), 1, "/srv/web");
  BOOST_TEST((host.living() == before));
}

BOOST_FIXTURE_TEST_CASE(a_program_that_takes_for_ever_is_given_up, world) {
  host.on_open = [](auto&, auto) {
    program_script s;
    s.opens_after = 100h;
    return s;
  };
  check_failed(begin(web->roll(rollout_options().progress_deadline(2min))), 1,
               "no progress for 2 min (opening)");
}

// However long it takes as a whole: what counts is the time from one ready worker to the next.
BOOST_FIXTURE_TEST_CASE(each_worker_that_gets_ready_is_progress, world) {
  host.on_launch = [](auto&) {
    script s;
    s.ready_after = 20s;
    return s;
  };
  auto rolled = begin(web->roll(rollout_options().progress_deadline(30s)));
  BOOST_REQUIRE(host.run_until([&] { return rolled->has_value(); }, 10min));
  BOOST_TEST((*rolled)->ok);
}

// --- What else may happen to the workers.

BOOST_FIXTURE_TEST_CASE(a_canary_that_a_stranger_kills_bakes_anew, world) {
  auto rolled = begin(web->roll(rollout_options().bake(30s)));
  BOOST_TEST(await_stage("baking"));
  host.run_for(20s);
  host.kill(of(2).front(), SIGKILL);
  host.poll();
  BOOST_TEST(stage_now() == "canary");
  BOOST_TEST(await_stage("baking"));
  host.run_for(29s);
  BOOST_TEST(stage_now() == "baking");
  await(rolled);
  BOOST_TEST((*rolled)->ok);
  check_all_are(2);
}

BOOST_FIXTURE_TEST_CASE(an_old_one_that_crashes_meanwhile_is_replaced_by_its_like, world) {
  auto rolled = begin(web->roll(rollout_options().bake(30s)));
  BOOST_TEST(await_stage("baking"));
  for (auto id : of(1)) host.kill(id, SIGSEGV);
  host.run_for(5s);
  BOOST_TEST(stage_now() == "baking");
  BOOST_TEST(count_of(1) == 4u);
  BOOST_TEST(count_of(2) == 1u);
  await(rolled);
  BOOST_TEST((*rolled)->ok);
  check_all_are(2);
}

BOOST_FIXTURE_TEST_CASE(a_new_one_that_has_a_place_is_judged_until_the_end, world) {
  bad = [](script& s, unsigned) { s.ready_after = 20s; };
  auto rolled = begin(web->roll(rollout_options().canary(1)));
  host.run_for(45s);  // two have their places, the first for a while
  BOOST_TEST(count_of(2) == 3u);
  host.kill(of(2).front(), SIGABRT);
  check_failed(rolled, 1, "slot 0: SIGABRT (crash)");
}

BOOST_FIXTURE_TEST_CASE(growing_takes_the_old_generation_until_the_canary_has_passed, world) {
  auto rolled = begin(web->roll(rollout_options().bake(30s).progress_deadline(1h)));
  BOOST_TEST(await_stage("baking"));
  BOOST_TEST(run(web->resize(6)).ok);  // without waiting for the rollout
  BOOST_TEST(count_of(1) == 6u);
  BOOST_TEST(stage_now() == "baking");
  BOOST_TEST(await_stage("replacing"));
  run(web->pause_rollout());
  BOOST_TEST(run(web->resize(8)).ok);
  BOOST_TEST(count_of(2) == 4u);
  run(web->resume_rollout());
  await(rolled);
  BOOST_TEST((*rolled)->ok);
  check_all_are(2, 8);
}

BOOST_FIXTURE_TEST_CASE(shrinking_spares_the_canary, world) {
  auto rolled = begin(web->roll(rollout_options().bake(30s)));
  BOOST_TEST(await_stage("baking"));
  BOOST_TEST(run(web->resize(1)).ok);
  BOOST_TEST(stage_now() == "baking");
  BOOST_TEST((web->status().rollout->bake_left == 28s));  // it took two to drain
  BOOST_TEST(host.living().size() == 2u);
  await(rolled);
  BOOST_TEST((*rolled)->ok);
  check_all_are(2, 1);
}

BOOST_FIXTURE_TEST_CASE(a_drained_pool_rolls_on_when_it_is_resumed, world) {
  auto rolled = begin(web->roll(rollout_options().bake(30s)));
  BOOST_TEST(await_stage("baking"));
  BOOST_TEST(run(web->drain()).ok);
  BOOST_TEST(((*rolled)->error == errc::superseded));
  BOOST_TEST(host.living().empty());
  host.run_for(1h);  // no deadline of the rollout's passes meanwhile
  BOOST_TEST(web->status().rolling);
  BOOST_TEST(run(web->resume()).ok);
  BOOST_TEST(web->status().rolling);
  BOOST_TEST(run(web->settled()).ok);
  check_all_are(2);
}

BOOST_FIXTURE_TEST_CASE(one_slot_is_restarted_during_a_bake, world) {
  auto rolled = begin(web->roll(rollout_options().bake(30s)));
  BOOST_TEST(await_stage("baking"));
  BOOST_TEST(run(web->restart(2)).ok);
  BOOST_TEST(stage_now() == "baking");
  BOOST_TEST(count_of(1) == 4u);
  BOOST_TEST((last(event_kind::worker_exited)->why == exit_cause::recycled));
  await(rolled);
  BOOST_TEST((*rolled)->ok);
  check_all_are(2);
}

BOOST_AUTO_TEST_SUITE_END()
