// Workers looked after by probes, in virtual time.
#include "support/world.hpp"

using namespace supervisor;
using namespace std::chrono_literals;
using test::world;

namespace {

::supervisor::probe healthz() {
  return ::supervisor::probe::http("127.0.0.1:{9100+slot}", "/healthz").every(10s).within(1s);
}

spec watched_by(::supervisor::probe p) {
  spec what("serve");
  what.liveness.push_back(std::move(p));
  return what;
}

probe_answer says(bool well, duration takes = 0s) {
  probe_answer answer;
  answer.result = {well, well ? "200 OK" : "503 Service Unavailable"};
  answer.takes = takes;
  return answer;
}

probe_answer says_nothing() {
  probe_answer answer;
  answer.takes.reset();
  return answer;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(probing)

BOOST_FIXTURE_TEST_CASE(three_failures_in_a_row_end_a_worker, world) {
  std::vector<std::string> asked;
  bool well = true;
  host.on_probe = [&](child_id id, const ::supervisor::probe& p) {
    asked.push_back(p.str());
    return says(id != 1 || well);
  };
  auto web = this->web(2, watched_by(healthz()));
  settle(web);
  host.run_for(1min);
  BOOST_TEST(asked.size() == 12u);
  BOOST_TEST(std::ranges::count(asked, "http://127.0.0.1:9101/healthz") == 6);
  BOOST_TEST(count(event_kind::worker_ailing) == 0u);
  BOOST_TEST(count(event_kind::worker_recovered) == 0u);

  well = false;
  auto began = host.now();
  BOOST_REQUIRE(host.run_until([&] { return count(event_kind::worker_exited) == 1; }, 5min));
  BOOST_TEST((host.now() - began > 20s && host.now() - began <= 30s));
  BOOST_TEST(count(event_kind::worker_ailing) == 3u);
  auto* ailing = last(event_kind::worker_ailing);
  BOOST_TEST(ailing->text == "http://127.0.0.1:9100/healthz: 503 Service Unavailable");
  auto* stopping = last(event_kind::worker_stopping);
  BOOST_TEST((stopping->why == exit_cause::probe));
  BOOST_TEST(stopping->cause == ailing->id);
  BOOST_TEST((last(event_kind::worker_exited)->why == exit_cause::probe));
  host.poll();
  BOOST_TEST(web.ready() == 2u);
  host.run_for(1min);
  BOOST_TEST(count(event_kind::worker_exited) == 1u);
}

BOOST_FIXTURE_TEST_CASE(passes_between_failures_forgive_them, world) {
  unsigned n = 0;
  host.on_probe = [&](auto, auto&) { return says(++n % 3 == 0); };
  settle(web(1, watched_by(healthz())));
  host.run_for(10min);
  BOOST_TEST(n == 60u);
  BOOST_TEST(count(event_kind::worker_exited) == 0u);
  BOOST_TEST(count(event_kind::worker_recovered) == 20u);
}

BOOST_FIXTURE_TEST_CASE(no_answer_within_the_timeout_is_a_failure, world) {
  host.on_probe = [&](auto, auto&) { return says_nothing(); };
  settle(web(1, watched_by(healthz().ill_after(1))));
  BOOST_REQUIRE(host.run_until([&] { return count(event_kind::worker_exited) == 1; }, 1min));
  BOOST_TEST(last(event_kind::worker_ailing)->text ==
             "http://127.0.0.1:9100/healthz: no answer within 1 s");
}

BOOST_FIXTURE_TEST_CASE(a_supervisor_that_was_stopped_blames_nobody, world) {
  auto answer = says(true, 500ms);
  host.on_probe = [&](auto, auto&) { return answer; };
  auto web = this->web(4, watched_by(healthz().ill_after(1)));
  settle(web);
  for (int i = 0; i < 100; ++i) {
    host.run_for(730ms);
    host.stall(10s);
  }
  BOOST_TEST(count(event_kind::worker_ailing) == 0u);
  // And a worker that does hang is found once the supervisor runs again.
  answer = says_nothing();
  host.stall(10s);
  BOOST_REQUIRE(host.run_until([&] { return count(event_kind::worker_exited) >= 4; }, 13s));
}

BOOST_FIXTURE_TEST_CASE(a_machine_that_slept_blames_nobody, world) {
  host.on_probe = [&](auto, auto&) { return says(false, 500ms); };
  auto web = this->web(1, watched_by(healthz().ill_after(1)));
  settle(web);
  for (int i = 0; i < 200; ++i) {
    host.run_for(250ms);
    host.suspend(1h);
  }
  BOOST_TEST(count(event_kind::worker_ailing) == 0u);
  host.run_for(11s);
  BOOST_TEST(count(event_kind::worker_exited) >= 1u);
}

BOOST_FIXTURE_TEST_CASE(the_start_is_given_time, world) {
  std::vector<duration> when;
  auto began = host.now();
  host.on_probe = [&](auto, auto&) {
    when.push_back(host.now() - began);
    return says(true);
  };
  settle(web(1, watched_by(healthz().after(2min))));
  host.run_for(3min);
  BOOST_REQUIRE(!when.empty());
  BOOST_TEST((when.front() >= 2min && when.front() <= 2min + 10s));
}

BOOST_FIXTURE_TEST_CASE(a_probe_ends_with_its_worker, world) {
  unsigned looks = 0;
  host.on_probe = [&](auto, auto&) {
    ++looks;
    return says_nothing();
  };
  auto web = this->web(3, watched_by(healthz().within(1h).every(1s)));
  settle(web);
  BOOST_REQUIRE(host.run_until([&] { return host.looks_running() == 3; }));
  BOOST_TEST(run(web.stop(), 1s).ok);
  BOOST_TEST(host.looks_running() == 0u);
  BOOST_TEST(looks == 3u);
  BOOST_TEST(!host.run_until([] { return false; }, 24h));  // no timer is left
}

BOOST_FIXTURE_TEST_CASE(the_supervisor_may_be_gone_between_any_two_steps, world) {
  host.on_probe = [&](auto, auto&) { return says(false, 300ms); };
  for (unsigned steps = 0; steps < 60; ++steps) {
    auto web = sup->pool("web", watched_by(healthz().every(500ms)), 2);
    settle(web);
    host.run_for(700ms);
    for (unsigned i = 0; i < steps; ++i) host.poll_one();
    crash();
    BOOST_TEST(host.looks_running() == 0u);
    boot();
    for (auto id : host.living()) host.kill(id, SIGKILL);
    host.run_for(1s);
  }
}

BOOST_FIXTURE_TEST_CASE(readiness_by_a_probe, world) {
  unsigned looks = 0;
  host.on_probe = [&](auto, auto&) { return says(++looks > 3); };
  host.on_launch = [](auto&) {
    script s;
    s.ready_after = 0s;  // its own word does not count
    return s;
  };
  spec what("serve");
  what.ready = readiness::probe;
  what.ready_probe = healthz().every(1s).well_after(2);
  auto web = this->web(1, what);
  BOOST_TEST(run(web.settled(), 1min).ok);
  BOOST_TEST(looks == 5u);
  host.run_for(10min);
  BOOST_TEST(looks == 5u);
}

// Other needs replace the specification that a starting worker was made by.
BOOST_FIXTURE_TEST_CASE(other_needs_do_not_disturb_who_is_about_to_be_ready, world) {
  unsigned looks = 0;
  host.on_probe = [&](auto, auto&) { return says(++looks > 3); };
  spec what("serve");
  what.ready = readiness::probe;
  what.ready_probe = healthz().every(1s).well_after(2);
  auto web = this->web(1, what);
  host.run_for(1500ms);
  BOOST_REQUIRE(looks > 0u);
  web.needs({requirement("db", need::ready)});
  BOOST_TEST(run(web.settled(), 1min).ok);
  BOOST_TEST(looks == 5u);
}

BOOST_FIXTURE_TEST_CASE(a_worker_that_never_passes_is_not_ready_in_time, world) {
  host.on_probe = [&](auto, auto&) { return says(false); };
  spec what("serve");
  what.ready = readiness::probe;
  what.ready_probe = healthz().every(1s);
  what.boot_timeout = 20s;
  auto web = this->web(1, what);
  BOOST_REQUIRE(host.run_until([&] { return count(event_kind::worker_exited) == 1; }, 1min));
  BOOST_TEST((last(event_kind::worker_exited)->why == exit_cause::boot_timeout));
  BOOST_TEST(run(web.stop()).ok);
}

BOOST_FIXTURE_TEST_CASE(a_policy_looks_once, world) {
  host.on_probe = [&](child_id id, auto& p) {
    auto answer = says(id == 0, 200ms);
    answer.result.words += ' ' + p.str();
    return answer;
  };
  auto web = this->web(2);
  settle(web);
  auto alone = run(sup->check(healthz()));
  BOOST_TEST(alone.well);
  BOOST_TEST(alone.words == "200 OK http://127.0.0.1:9100/healthz");
  auto second = run(web.check(1, healthz()));
  BOOST_TEST(!second.well);
  BOOST_TEST(second.words == "503 Service Unavailable http://127.0.0.1:9101/healthz");
  auto nobody = run(web.check(7, healthz()));
  BOOST_TEST(nobody.words == "slot 7 has no worker");
  host.on_probe = [&](auto, auto&) { return says_nothing(); };
  auto silent = run(web.check(0, healthz()));
  BOOST_TEST(silent.words == "no answer within 1 s");
}

BOOST_AUTO_TEST_SUITE_END()
