// One slot's life: readiness, deadlines, the stop ladder.
#include "support/world.hpp"

using namespace supervisor;
using namespace std::chrono_literals;
using test::world;

namespace {

std::vector<int> signals_sent(const world& w) {
  std::vector<int> all;
  for (auto& [id, number] : w.host.sent) all.push_back(number);
  return all;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(slot)

BOOST_FIXTURE_TEST_CASE(a_worker_that_ignores_TERM_is_killed, world) {
  host.on_launch = [](auto&) {
    script s;
    s.ignores_stop = true;
    return s;
  };
  spec what("serve");
  what.stop = {{SIGINT, 2s}, {SIGTERM, 3s}};
  auto web = this->web(1, what);
  settle(web);
  auto began = host.now();
  run(web.resize(0));
  BOOST_TEST((host.now() - began == 5s));
  BOOST_TEST((signals_sent(*this) == std::vector<int>{SIGINT, SIGTERM, SIGKILL}));
  auto exited = last(event_kind::worker_exited);
  BOOST_TEST((exited->why == exit_cause::scaled_down));
  BOOST_TEST((exited->exit.signal() == SIGKILL));
}

BOOST_FIXTURE_TEST_CASE(a_worker_that_asks_for_time_to_leave_has_it, world) {
  host.on_launch = [](auto&) {
    script s;
    s.drain_takes = 8s;
    s.asks_for = 10s;
    return s;
  };
  spec what("serve");
  what.stop = {{SIGTERM, 2s}};
  auto web = this->web(1, what);
  settle(web);
  auto began = host.now();
  run(web.resize(0));
  BOOST_TEST((host.now() - began == 8s));
  BOOST_TEST((signals_sent(*this) == std::vector<int>{SIGTERM}));
  auto extended = last(event_kind::worker_extended);
  BOOST_TEST((extended->deadline == began + 10s));
  BOOST_TEST(last(event_kind::worker_exited)->cause == extended->id);
}

BOOST_FIXTURE_TEST_CASE(when_the_time_it_asked_for_has_passed_it_is_killed, world) {
  host.on_launch = [](auto&) {
    script s;
    s.drain_takes = 1h;
    s.asks_for = 10s;
    return s;
  };
  spec what("serve");
  what.stop = {{SIGTERM, 2s}};
  auto web = this->web(1, what);
  settle(web);
  auto began = host.now();
  run(web.resize(0));
  BOOST_TEST((host.now() - began == 10s));
  BOOST_TEST((signals_sent(*this) == std::vector<int>{SIGTERM, SIGKILL}));
}

BOOST_FIXTURE_TEST_CASE(a_quick_stop_grants_no_time, world) {
  host.on_launch = [](auto&) {
    script s;
    s.drain_takes = 1h;
    s.asks_for = 30min;
    return s;
  };
  auto web = this->web(1);
  settle(web);
  auto slow = begin(web.stop());
  BOOST_REQUIRE(host.run_until([&] { return last(event_kind::worker_extended) != nullptr; }));
  host.run_for(1min);
  BOOST_TEST(!slow->has_value());
  auto began = host.now();
  run(web.stop(true));
  BOOST_TEST((host.now() - began == 1s));
}

BOOST_FIXTURE_TEST_CASE(a_worker_hears_by_when_it_is_to_leave_and_whether_others_stay, world) {
  host.on_launch = [](auto&) {
    script s;
    s.drain_takes = 1h;
    return s;
  };
  auto web = this->web(2);
  settle(web);
  auto ids = host.living();
  BOOST_TEST(host.terms.empty());
  auto smaller = begin(web.resize(1));
  BOOST_REQUIRE(host.run_until([&] { return !host.sent.empty(); }));
  auto first = host.sent.front().first;
  BOOST_TEST((host.terms.at(first) == leave_terms{host.now() + 30s, true}));
  host.run_for(5s);
  auto stopped = begin(web.stop());
  BOOST_REQUIRE(host.run_until([&] { return host.sent.size() == 2; }));
  BOOST_TEST((host.terms.at(first) == leave_terms{host.now() + 25s, false}));
  BOOST_TEST((host.terms.at(host.sent.back().first) == leave_terms{host.now() + 30s, false}));
  run(web.stop(true));
}

BOOST_FIXTURE_TEST_CASE(a_worker_that_a_stranger_tells_to_leave_hears_that_others_stay, world) {
  host.on_launch = [](auto&) {
    script s;
    s.drain_takes = 1min;
    return s;
  };
  auto web = this->web(2);
  settle(web);
  auto id = host.living().front();
  host.kill(id, SIGTERM);
  host.run_for(1s);
  BOOST_TEST((host.terms.at(id) == leave_terms{never, true}));
}

BOOST_FIXTURE_TEST_CASE(a_worker_that_reloads_stays_ready, world) {
  host.on_launch = [](auto&) {
    script s;
    s.reloads_after = 10s;
    s.reload_takes = 5s;
    return s;
  };
  auto web = this->web(2);
  settle(web);
  host.run_for(12s);
  BOOST_TEST(count(event_kind::worker_reloading) == 2u);
  auto status = web.status();
  BOOST_TEST(status.ready == 2u);
  for (auto& row : status.slots) {
    BOOST_TEST(row.state == "ready");
    BOOST_TEST(row.ready);
    BOOST_TEST(row.reloading);
  }
  host.run_for(5s);
  BOOST_TEST(count(event_kind::worker_reloaded) == 2u);
  BOOST_TEST(last(event_kind::worker_reloaded)->cause == last(event_kind::worker_reloading)->id);
  BOOST_TEST(!web.status().slots.at(0).reloading);
  BOOST_TEST(count(event_kind::worker_ready) == 2u);
}

BOOST_FIXTURE_TEST_CASE(a_reload_that_ends_at_once_is_recorded, world) {
  host.on_launch = [](auto&) {
    script s;
    s.reloads_after = 10s;
    s.tells_twice = true;
    return s;
  };
  auto web = this->web(1);
  settle(web);
  host.run_for(11s);
  BOOST_TEST(count(event_kind::worker_reloading) == 1u);
  BOOST_TEST(count(event_kind::worker_reloaded) == 1u);
  BOOST_TEST(!web.status().slots.at(0).reloading);
}

BOOST_FIXTURE_TEST_CASE(what_a_worker_was_reloading_ends_with_it, world) {
  host.on_launch = [](auto& request) {
    script s;
    if (request.key.launch > 1) return s;
    s.reloads_after = 10s;
    s.reload_takes = 1h;
    s.exits_after = 20s;
    return s;
  };
  auto web = this->web(1);
  settle(web);
  host.run_for(15s);
  BOOST_TEST(web.status().slots.at(0).reloading);
  host.run_for(30s);
  BOOST_TEST(!web.status().slots.at(0).reloading);
  BOOST_TEST(web.status().ready == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_worker_that_is_never_ready_is_ended, world) {
  host.on_launch = [](auto& r) {
    script s;
    if (r.key.launch == 1) s.ready_after.reset();
    return s;
  };
  spec what("serve");
  what.boot_timeout = 4s;
  auto web = this->web(1, what);
  auto began = host.now();
  settle(web);
  BOOST_TEST((host.now() - began == 4s));
  BOOST_TEST((signals_sent(*this) == std::vector<int>{SIGTERM}));
  auto exited = last(event_kind::worker_exited);
  BOOST_TEST((exited->why == exit_cause::boot_timeout));
  BOOST_TEST(exited->count == 1);
  BOOST_TEST(exited->cause == last(event_kind::worker_stopping)->id);
  BOOST_TEST(web.ready() == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_worker_that_waits_for_its_mold_is_withdrawn, world) {
  host.on_launch = [](auto&) {
    script s;
    s.launch_takes = 24h;
    return s;
  };
  auto web = this->web(1);
  BOOST_REQUIRE(host.run_until([&] { return host.launches() == 1; }));
  auto began = host.now();
  run(web.resize(0));
  BOOST_TEST((host.now() == began));
  auto exited = last(event_kind::worker_exited);
  BOOST_TEST((exited->why == exit_cause::scaled_down));
  BOOST_TEST(exited->launch.has_value());
  BOOST_TEST((severity_of(*exited) == severity::info));
  BOOST_TEST(host.launches() == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_worker_that_hangs_is_aborted, world) {
  host.on_launch = [](auto& r) {
    script s;
    if (r.key.launch == 1) s.hangs_after = 10s;
    return s;
  };
  auto web = this->web(1);
  settle(web);
  BOOST_TEST(host.run_until([&] { return last(event_kind::worker_exited) != nullptr; }));
  BOOST_TEST((signals_sent(*this) == std::vector<int>{SIGABRT}));
  BOOST_TEST((last(event_kind::worker_exited)->why == exit_cause::hang));
  settle(web);
  BOOST_TEST(web.ready() == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_worker_with_a_request_that_does_not_end_is_aborted, world) {
  host.on_launch = [](auto& r) {
    script s;
    if (r.key.launch > 1) return s;
    s.overdue_after = 10s;
    s.work.emplace();
    s.work->in_flight = 2;
    s.work->oldest = {"GET /slow", 10s};
    s.work->latest = {"GET /", 1ms};
    return s;
  };
  auto web = this->web(1);
  settle(web);
  BOOST_TEST(web.status().slots.front().work->in_flight == 2u);
  BOOST_TEST(host.run_until([&] { return last(event_kind::worker_exited) != nullptr; }));
  BOOST_TEST((signals_sent(*this) == std::vector<int>{SIGABRT}));
  const std::string slow = "GET /slow, 10 s in; 1 more in flight";
  BOOST_TEST((last(event_kind::worker_stopping)->why == exit_cause::request_timeout));
  BOOST_TEST(last(event_kind::worker_stopping)->text == slow);
  BOOST_TEST((last(event_kind::worker_exited)->why == exit_cause::request_timeout));
  BOOST_TEST(last(event_kind::worker_exited)->text == "died in " + slow);
  settle(web);
  BOOST_TEST(web.ready() == 1u);
}

BOOST_FIXTURE_TEST_CASE(an_exit_tells_what_the_worker_was_at, world) {
  host.on_launch = [](auto& r) {
    script s;
    if (r.key.launch > 2) return s;
    s.exits_after = 10s;
    s.exit_with = exit_status::exited(70);
    s.work.emplace();
    if (r.key.launch == 1) {
      s.work->in_flight = 1;
      s.work->oldest = s.work->latest = {"GET /crash", 1200ms};
    } else {
      s.work->failure = "no way";
    }
    return s;
  };
  auto web = this->web(1);
  settle(web);
  auto exits = [&](const std::string& words) {
    auto* e = last(event_kind::worker_exited);
    return e && e->text == words;
  };
  BOOST_TEST(host.run_until([&] { return exits("died in GET /crash, 1.2 s in"); }));
  BOOST_TEST(host.run_until([&] { return exits("no way"); }));
}

BOOST_FIXTURE_TEST_CASE(a_command_is_ready_when_it_has_lived_long_enough, world) {
  host.on_launch = [](auto&) {
    script s;
    s.ready_after.reset();
    return s;
  };
  auto web = this->web(1, spec::command("/bin/server"));
  auto began = host.now();
  settle(web);
  BOOST_TEST((host.now() - began == 500ms));
  BOOST_TEST(web.ready() == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_command_that_says_so_is_ready_before, world) {
  auto web = this->web(1, spec::command("/bin/server"));
  auto began = host.now();
  settle(web);
  BOOST_TEST((host.now() == began));
}

BOOST_FIXTURE_TEST_CASE(alive_for_does_not_listen, world) {
  auto what = spec::command("/bin/server");
  what.ready = readiness::alive;
  auto web = this->web(1, what);
  auto began = host.now();
  settle(web);
  BOOST_TEST((host.now() - began == 500ms));
}

BOOST_FIXTURE_TEST_CASE(notify_waits_for_the_word, world) {
  host.on_launch = [](auto&) {
    script s;
    s.ready_after = 7s;
    return s;
  };
  auto what = spec::command("/bin/server");
  what.ready = readiness::notify;
  auto web = this->web(1, what);
  auto began = host.now();
  settle(web);
  BOOST_TEST((host.now() - began == 7s));
}

BOOST_FIXTURE_TEST_CASE(a_slot_retired_while_it_is_made_leaves_once_it_exists, world) {
  host.on_launch = [](auto&) {
    script s;
    s.launch_takes = 3s;
    return s;
  };
  auto web = this->web(1);
  host.run_for(1s);
  BOOST_TEST(run(web.resize(0)).ok);
  BOOST_TEST(host.living().empty());
  BOOST_TEST(host.launches() == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_slot_retired_while_it_backs_off_is_gone_at_once, world) {
  host.on_launch = [](auto&) {
    script s;
    s.ready_after.reset();
    s.exits_after = 1ms;
    s.exit_with = exit_status::exited(1);
    return s;
  };
  auto web = this->web(1);
  settle(web);
  auto before = host.now();
  BOOST_TEST(run(web.resize(0)).ok);
  BOOST_TEST((host.now() == before));
  host.run_for(1h);
  BOOST_TEST(host.launches() == 3u);
}

BOOST_FIXTURE_TEST_CASE(a_healthy_worker_forgets_failures, world) {
  unsigned n = 0;
  host.on_launch = [&](auto&) {
    script s;
    s.exits_after = ++n < 5 ? 1ms : 10s;
    s.exit_with = exit_status::exited(1);
    return s;
  };
  auto web = this->web(1);
  BOOST_TEST(host.run_until([&] { return n == 6; }));
  BOOST_TEST(last(event_kind::worker_exited)->count == 0);
  BOOST_TEST((last(event_kind::worker_exited)->deadline == last(event_kind::worker_exited)->at));
}

BOOST_FIXTURE_TEST_CASE(each_event_names_the_one_that_led_to_it, world) {
  auto web = this->web(1);
  settle(web);
  auto id_of = [&](event_kind k) { return last(k)->id; };
  BOOST_TEST(last(event_kind::slot_added)->cause != 0u);
  BOOST_TEST(last(event_kind::worker_launched)->cause == id_of(event_kind::slot_added));
  BOOST_TEST(last(event_kind::worker_started)->cause == id_of(event_kind::worker_launched));
  BOOST_TEST(last(event_kind::worker_ready)->cause == id_of(event_kind::worker_started));
  run(web.stop());
  BOOST_TEST(last(event_kind::slot_retiring)->cause == id_of(event_kind::pool_stopping));
  BOOST_TEST(last(event_kind::worker_stopping)->cause == id_of(event_kind::slot_retiring));
  BOOST_TEST(last(event_kind::worker_exited)->cause == id_of(event_kind::worker_stopping));
  BOOST_TEST(last(event_kind::slot_removed)->cause == id_of(event_kind::worker_exited));
  BOOST_TEST(last(event_kind::worker_reported)->cause == id_of(event_kind::worker_exited));
}

BOOST_FIXTURE_TEST_CASE(signals_go_to_the_keeper_of_a_number, world) {
  auto web = this->web(2);
  settle(web);
  BOOST_TEST(!web.signal(1, SIGUSR1));
  BOOST_TEST((host.sent.back() == std::pair(host.living()[1], SIGUSR1)));
  BOOST_TEST((web.signal(5, SIGUSR1) == errc::no_such_slot));
  web.signal_all(SIGUSR2);
  BOOST_TEST(host.sent.size() == 3u);
}

BOOST_AUTO_TEST_SUITE_END()
