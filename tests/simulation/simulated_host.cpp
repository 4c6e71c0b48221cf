#include "simulation/simulated_host.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>

#include "supervisor/condition.hpp"
#include "supervisor/task_group.hpp"

using namespace supervisor;
using namespace std::chrono_literals;
namespace asio = boost::asio;
using sim_host = ::supervisor::simulated_host;  // the suite has the plain name

namespace {

child_key key(std::uint64_t slot, std::uint64_t launch = 1) { return {"web", slot, launch}; }

launch_request request(std::uint64_t slot, std::uint64_t launch = 1) {
  return {key(slot, launch), static_cast<unsigned>(slot), 1};
}

/// A host with pool web's first program open.
struct world {
  world() {
    host.open_program("web", 1, nullptr, {});
    host.poll();
  }
  child_id launch(std::uint64_t slot, script plan = {}) {
    host.on_launch = [plan](const launch_request&) { return plan; };
    return host.launch(request(slot), [this, slot] { told.push_back(slot); });
  }
  sim_host host;
  std::vector<std::uint64_t> told;  ///< calls of observers, by slot
};

script with(void (*change)(script&)) {
  script s;
  change(s);
  return s;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(simulated_host)

BOOST_FIXTURE_TEST_CASE(a_child_starts_gets_ready_and_is_observed_from_the_loop, world) {
  auto id = launch(1, with([](script& s) {
                     s.launch_takes = 2s;
                     s.ready_after = 3s;
                     s.status = "warm";
                   }));
  BOOST_TEST(told.empty());
  BOOST_TEST(host.look(id).pid == 0);
  auto began = host.now();
  BOOST_TEST(host.run_until([&] { return host.look(id).pid != 0; }));
  BOOST_TEST((host.now() - began == 2s));
  BOOST_TEST(host.run_until([&] { return host.look(id).ready; }));
  BOOST_TEST((host.now() - began == 5s));
  BOOST_TEST(host.look(id).status == "warm");
  host.poll();
  BOOST_TEST(told.size() == 2u);
  BOOST_TEST((host.living() == std::vector<child_id>{id}));
}

BOOST_FIXTURE_TEST_CASE(a_key_names_one_child, world) {
  auto first = launch(1);
  bool again = false;
  BOOST_TEST(host.launch(request(1), [&] { again = true; }) == first);
  host.poll();
  BOOST_TEST(told.empty());
  BOOST_TEST(again);
  BOOST_TEST(host.launches() == 1u);
  BOOST_TEST(host.find(key(1)) == first);
  BOOST_TEST(host.find(key(1, 2)) == 0u);
  BOOST_TEST(host.launch(request(1, 2), {}) != first);
}

BOOST_FIXTURE_TEST_CASE(stop_signals_drain, world) {
  for (int number : {SIGTERM, SIGINT, SIGQUIT}) {
    auto id = launch(number, with([](script& s) { s.drain_takes = 4s; }));
    host.poll();
    auto began = host.now();
    BOOST_TEST(!host.signal(id, number));
    BOOST_TEST(!host.look(id).exited);
    host.poll();
    BOOST_TEST(host.look(id).stopping);
    BOOST_TEST(host.run_until([&] { return host.look(id).over(); }));
    BOOST_TEST((host.now() - began == 4s));
    BOOST_TEST((*host.look(id).exited == exit_status::exited(0)));
    BOOST_TEST((host.signal(id, number) ==
                boost::system::error_code(ESRCH, boost::system::system_category())));
  }
  BOOST_TEST(host.sent.size() == 3u);
  BOOST_TEST(host.living().empty());
}

BOOST_FIXTURE_TEST_CASE(kill_ends_what_ignores_everything_else, world) {
  auto id = launch(1, with([](script& s) { s.ignores_stop = true; }));
  host.poll();
  host.signal(id, SIGTERM);
  host.signal(id, SIGUSR1);
  host.run_for(1h);
  BOOST_TEST(!host.look(id).over());
  host.signal(id, SIGKILL);
  BOOST_TEST(!host.look(id).over());
  host.poll();
  BOOST_TEST((*host.look(id).exited == exit_status::signalled(SIGKILL)));
}

BOOST_FIXTURE_TEST_CASE(a_hung_child_answers_no_stop_signal_but_dies_of_abrt, world) {
  auto id = launch(1, with([](script& s) { s.hangs_after = 10s; }));
  BOOST_TEST(host.run_until([&] { return host.look(id).hung; }));
  host.signal(id, SIGTERM);
  host.run_for(1h);
  BOOST_TEST(!host.look(id).over());
  host.kill(id, SIGABRT);
  host.poll();
  BOOST_TEST((*host.look(id).exited == exit_status::signalled(SIGABRT)));
  BOOST_TEST(host.sent.size() == 1u);
}

BOOST_FIXTURE_TEST_CASE(it_may_leave_by_itself, world) {
  auto id = launch(1, with([](script& s) {
                     s.exits_after = 7s;
                     s.exit_with = exit_status::signalled(SIGKILL);
                     s.out_of_memory = true;
                   }));
  host.run_for(6s);
  BOOST_TEST(!host.look(id).over());
  host.run_for(1s);
  BOOST_TEST(host.look(id).over());
  BOOST_TEST(host.look(id).out_of_memory);
}

BOOST_FIXTURE_TEST_CASE(what_it_would_have_done_later_dies_with_it, world) {
  auto id = launch(1, with([](script& s) {
                     s.ready_after = 1min;
                     s.hangs_after = 2min;
                     s.exits_after = 3min;
                   }));
  host.run_for(1s);
  host.kill(id, SIGKILL);
  host.poll();
  host.forget(id);
  BOOST_TEST(host.find(key(1)) == 0u);
  host.run_for(1h);
  BOOST_TEST(told.size() == 2u);
}

BOOST_FIXTURE_TEST_CASE(a_launch_that_fails_is_a_fact_and_is_reported, world) {
  std::vector<exit_report> reports;
  host.on_report([&](const child_key&, auto report) { reports.push_back(*report); });
  auto id = launch(
      1, with([](script& s) { s.launch_fails = launch_error{"exec", ENOENT, "/usr/bin/nope"}; }));
  BOOST_TEST(!host.look(id).over());
  host.poll();
  BOOST_TEST(host.look(id).failed->stage == "exec");
  BOOST_TEST(host.look(id).pid == 0);
  BOOST_TEST(told.size() == 1u);
  BOOST_REQUIRE(reports.size() == 1u);
  BOOST_TEST(reports[0].launch->error == ENOENT);
  BOOST_TEST(host.living().empty());
}

BOOST_AUTO_TEST_CASE(launches_wait_for_their_program) {
  sim_host host;
  host.on_open = [](const std::string&, std::uint64_t generation) {
    program_script plan;
    plan.opens_after = 5s;
    if (generation == 2) plan.fails = launch_error{"preload", 0, "it threw"};
    return plan;
  };
  unsigned told = 0;
  auto before = host.launch(request(1), {});
  host.open_program("web", 1, nullptr, [&] { ++told; });
  host.open_program("web", 2, nullptr, [&] { ++told; });
  auto second = request(2);
  second.generation = 2;
  auto failing = host.launch(second, {});
  host.run_for(4s);
  BOOST_TEST(host.look(before).pid == 0);
  host.run_for(1s);
  BOOST_TEST(told == 2u);
  BOOST_TEST(host.program("web", 1).open);
  BOOST_TEST(host.program("web", 2).failed->stage == "preload");
  BOOST_TEST(host.look(before).ready);
  BOOST_TEST(host.look(failing).failed->stage == "preload");
  host.open_program("web", 1, nullptr, {});
  BOOST_TEST(host.program("web", 1).open);
  host.close_program("web", 1);
  BOOST_TEST(!host.program("web", 1).open);
  BOOST_TEST(host.living().size() == 1u);
}

BOOST_AUTO_TEST_CASE(closing_a_program_fails_the_launches_that_wait_for_it) {
  sim_host host;
  auto id = host.launch(request(1), {});
  host.open_program("web", 1, nullptr, {});
  host.close_program("web", 1);
  host.run_for(1s);
  BOOST_TEST(host.look(id).failed->stage == "mold");
}

BOOST_FIXTURE_TEST_CASE(a_death_is_reported_once_when_it_is_reaped, world) {
  std::vector<exit_report> reports;
  host.on_report([&](const child_key& k, auto report) {
    BOOST_TEST((k == key(1)));
    reports.push_back(*report);
  });
  auto id = launch(1, with([](script& s) {
                     s.exits_after = 3s;
                     s.exit_with = exit_status::exited(70);
                     s.reap_takes = 2s;
                   }));
  auto pid = [&] { return host.look(id).pid; };
  BOOST_TEST(host.run_until([&] { return host.look(id).over(); }));
  auto was = pid();
  host.forget(id);
  BOOST_TEST(reports.empty());
  BOOST_TEST(host.find(key(1)) == id);
  host.run_for(2s);
  BOOST_REQUIRE(reports.size() == 1u);
  BOOST_TEST(reports[0].pid == was);
  BOOST_TEST((reports[0].status == exit_status::exited(70)));
  BOOST_TEST((reports[0].uptime == 3s));
  BOOST_TEST(host.find(key(1)) == 0u);
  host.run_for(1h);
  BOOST_TEST(reports.size() == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_forgotten_child_lives_on_and_can_be_found, world) {
  auto id = launch(1);
  host.poll();
  told.clear();
  host.forget(id);
  host.kill(id, SIGUSR1);
  host.run_for(1h);
  BOOST_TEST(host.find(key(1)) == id);
  bool seen = false;
  host.watch(id, [&] { seen = true; });
  host.kill(id, SIGKILL);
  host.poll();
  BOOST_TEST(seen);
  BOOST_TEST(told.empty());
  BOOST_TEST(host.look(id).over());
  host.forget(id);
  BOOST_TEST(host.find(key(1)) == 0u);
}

BOOST_FIXTURE_TEST_CASE(an_observer_may_forget_and_replace_itself, world) {
  auto id = launch(1);
  host.watch(id, [&] { host.watch(id, [&] { host.forget(id); }); });
  host.poll();
  host.kill(id, SIGKILL);
  host.poll();
  BOOST_TEST(host.find(key(1)) == 0u);
}

BOOST_AUTO_TEST_CASE(time_goes_from_deadline_to_deadline) {
  sim_host host;
  auto began = host.now();
  auto wall = host.wall_now();
  std::vector<int> order;
  host.call_at(began + 2s, [&] { order.push_back(2); });
  host.call_at(began + 1s, [&] { order.push_back(1); });
  host.call_at(began + 2s, [&] { order.push_back(3); });
  auto gone = host.call_at(began + 1s, [&] { order.push_back(99); });
  host.call_at(began - 1s, [&] { order.push_back(0); });
  host.call_at(never, [&] { order.push_back(98); });
  host.cancel(gone);
  host.cancel(gone);
  BOOST_TEST(order.empty());
  host.poll();
  BOOST_TEST(order == std::vector<int>{0}, boost::test_tools::per_element());
  BOOST_TEST(!host.run_until([] { return false; }));
  BOOST_TEST((order == std::vector<int>{0, 1, 2, 3}));
  BOOST_TEST((host.now() - began == 2s));
  BOOST_TEST((host.wall_now() - wall == 2s));
}

BOOST_AUTO_TEST_CASE(a_due_timer_can_still_be_cancelled) {
  sim_host host;
  bool ran = false;
  timer_id second = 0;
  host.call_at(host.now() + 1s, [&] { host.cancel(second); });
  second = host.call_at(host.now() + 1s, [&] { ran = true; });
  host.run_for(2s);
  BOOST_TEST(!ran);
}

BOOST_AUTO_TEST_CASE(run_until_stops_at_its_limit_and_at_its_goal) {
  sim_host host;
  auto began = host.now();
  int ticks = 0;
  std::function<void()> tick = [&] {
    ++ticks;
    host.call_at(host.now() + 10s, tick);
  };
  host.call_at(began, tick);
  BOOST_TEST(host.run_until([&] { return ticks == 4; }));
  BOOST_TEST((host.now() - began == 30s));
  BOOST_TEST(!host.run_until([] { return false; }, 25s));
  BOOST_TEST((host.now() - began == 55s));
  BOOST_TEST(ticks == 6);
}

BOOST_AUTO_TEST_CASE(one_seed_one_world) {
  sim_host a(7), b(7), c(8);
  // splitmix64 is the same everywhere: its first value for seed 7.
  BOOST_TEST(sim_host(7).random() == 0x63cbe1e459320dd7u);
  for (int i = 0; i < 100; ++i) {
    auto number = a.random();
    BOOST_TEST(number == b.random());
    BOOST_TEST(number != c.random());
  }
}

BOOST_AUTO_TEST_CASE(what_falls_due_together_may_be_shuffled) {
  auto order_of = [](std::uint64_t seed, bool shuffled) {
    sim_host host(seed);
    if (shuffled) host.shuffle();
    std::vector<int> order;
    for (int i = 0; i < 20; ++i) host.call_at(host.now() + 1s, [&, i] { order.push_back(i); });
    host.call_at(host.now() + 2s, [&] { order.push_back(20); });
    host.run_for(2s);
    BOOST_TEST(order.back() == 20);
    return order;
  };
  auto plain = order_of(1, false), first = order_of(1, true), second = order_of(2, true);
  BOOST_TEST((std::is_sorted(plain.begin(), plain.end())));
  BOOST_TEST((first == order_of(1, true)));
  BOOST_TEST((first != plain));
  BOOST_TEST((first != second));
  std::sort(first.begin(), first.end());
  BOOST_TEST((first == plain));
}

BOOST_AUTO_TEST_CASE(signals_are_kept_for_who_watches_them) {
  sim_host host;
  unsigned ready = 0;
  auto& feed = host.signals();
  auto send = [&](int number) {
    signal_event event;
    event.number = number;
    host.send_signal(event);
  };
  send(SIGHUP);
  feed.watch(SIGTTIN);
  feed.watch(SIGRTMIN);
  feed.on_ready([&] { ++ready; });
  BOOST_TEST(feed.take().empty());
  for (int i = 0; i < 3; ++i) send(SIGTTIN);
  for (int i = 0; i < 2; ++i) send(SIGRTMIN);
  BOOST_TEST(ready == 0u);
  host.poll();
  BOOST_TEST(ready > 0u);
  auto events = feed.take();
  BOOST_REQUIRE(events.size() == 3u);
  BOOST_TEST(events[0].number == SIGTTIN);
  BOOST_TEST(events[0].count == 3u);
  BOOST_TEST(events[2].count == 1u);
  feed.unwatch(SIGTTIN);
  send(SIGTTIN);
  BOOST_TEST(feed.take().empty());
  BOOST_CHECK_THROW(feed.watch(SIGKILL), boost::system::system_error);
}

BOOST_AUTO_TEST_CASE(listeners_get_a_port_and_keep_it) {
  sim_host host;
  listener_spec wanted;
  wanted.host = "127.0.0.1";
  auto first = host.listen(wanted);
  BOOST_TEST(first.port != 0);
  BOOST_TEST(host.listen(wanted).port == first.port);
  wanted.name = "admin";
  wanted.port = first.port;
  BOOST_CHECK_THROW(host.listen(wanted), boost::system::system_error);
  wanted.port = 0;
  BOOST_TEST(host.listen(wanted).port != first.port);
  BOOST_TEST(host.listeners().size() == 2u);
  host.close_listener(wanted.name);
  BOOST_TEST(host.listeners().at(0).port == first.port);
  wanted.name = "http";
  wanted.port = 7;
  BOOST_TEST(host.listen(wanted).port == 7);
}

BOOST_AUTO_TEST_CASE(a_loop_without_rest_is_told) {
  sim_host host;
  std::function<void()> spin = [&] { asio::post(host.executor(), spin); };
  spin();
  BOOST_CHECK_THROW(host.run_for(1s), std::logic_error);
}

namespace {

/// A sequence that notes the readiness of a child, from any point of its life.
asio::awaitable<void> watch_ready(sim_host& host, condition& changed, child_id id, bool& seen) {
  while (!host.look(id).ready) co_await changed.wait(host.now() + 30s);
  seen = true;
}

}  // namespace

/// The same life is cut after every number of steps; what is built anew goes on from there.
BOOST_AUTO_TEST_CASE(the_supervisor_may_crash_between_any_two_steps) {
  bool done_before_crash = false;
  for (unsigned cut = 0; !done_before_crash; ++cut) {
    sim_host host;
    bool seen = false;
    unsigned reports = 0;
    auto build = [&](condition& changed, task_group& group) {
      host.open_program("web", 1, nullptr, {});
      host.on_report([&](const child_key&, auto) { ++reports; });
      auto id = host.launch(request(1), [&changed] { changed.notify(); });
      group.spawn(watch_ready(host, changed, id, seen));
    };
    auto end = [&](child_id id) {
      host.kill(id, SIGKILL);
      return host.run_until([&] { return reports == 1; }, 1min);
    };
    {
      condition changed(host);
      task_group group(host.executor());
      build(changed, group);
      for (unsigned step = 0; step < cut; ++step)
        if (!host.poll_one()) done_before_crash = true;
      if (cut % 2) host.kill(1, SIGKILL);
      host.crash();
    }
    seen = false;
    condition changed(host);
    task_group group(host.executor());
    build(changed, group);
    BOOST_TEST(host.run_until([&] { return seen || host.look(1).over(); }, 1min));
    if (seen) BOOST_TEST(end(1));
    BOOST_TEST(host.run_until([&] { return reports == 1; }, 1min));
    BOOST_TEST(host.launches() == 1u);
    host.run_for(1h);
    BOOST_TEST(reports == 1u);
    host.crash();
  }
}

BOOST_AUTO_TEST_SUITE_END()
