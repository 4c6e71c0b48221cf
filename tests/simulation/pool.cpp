// A pool as its commands and its workers' deaths move it, in virtual time.
#include <algorithm>
#include <set>

#include "supervisor/library.hpp"
#include "support/world.hpp"

using namespace supervisor;
using namespace std::chrono_literals;
using test::world;

namespace {

/// The slot numbers of the living, in order of launch.
std::vector<unsigned> numbers(const world& w) {
  std::vector<unsigned> all;
  for (auto id : w.host.living()) all.push_back(w.host.request(id).slot);
  return all;
}
std::set<std::uint64_t> generations(const world& w) {
  std::set<std::uint64_t> all;
  for (auto id : w.host.living()) all.insert(w.host.request(id).generation);
  return all;
}

script boots_in(duration d) {
  script s;
  s.ready_after = d;
  return s;
}
script fails_at_boot(int code = 70) {
  script s;
  s.ready_after.reset();
  s.exits_after = 10ms;
  s.exit_with = exit_status::exited(code);
  return s;
}

/// Watches that a pool never has fewer than `least` ready workers.
struct never_fewer {
  never_fewer(world& w, ::supervisor::pool p, unsigned least)
      : sink(w.log.subscribe(
            [this, p, least](const event&) { held = held && p.ready() >= least; })) {}
  bool held = true;
  std::shared_ptr<void> sink;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(pool)

BOOST_FIXTURE_TEST_CASE(keeps_as_many_as_asked_for, world) {
  auto web = this->web(3);
  BOOST_TEST(web.size() == 3u);
  auto settled = run(web.settled());
  BOOST_TEST(settled.ok);
  BOOST_TEST(web.ready() == 3u);
  BOOST_TEST((numbers(*this) == std::vector<unsigned>{0, 1, 2}));

  auto victim = host.living()[1];
  auto before = host.now();
  host.kill(victim, SIGKILL);
  host.poll();
  BOOST_TEST(host.run_until([&] { return web.ready() == 3; }));
  BOOST_TEST((host.now() == before));  // at once
  BOOST_TEST((numbers(*this) == std::vector<unsigned>{0, 2, 1}));
  auto exited = last(event_kind::worker_exited);
  BOOST_REQUIRE(exited);
  BOOST_TEST((exited->why == exit_cause::killed));
  BOOST_TEST(exited->cause == 0u);
  host.poll();
  auto reported = last(event_kind::worker_reported);
  BOOST_REQUIRE(reported);
  BOOST_TEST(reported->cause == exited->id);
  BOOST_TEST(reported->slot == 1u);
}

BOOST_FIXTURE_TEST_CASE(one_live_worker_is_poked_after_every_departure, world) {
  auto web = this->web(2);
  settle(web);
  auto all = host.living();
  host.kill(all[0], SIGKILL);
  host.poll();
  BOOST_TEST((host.poked == std::vector<child_id>{all[1]}));
  run(web.resize(1));
  BOOST_TEST(host.poked.size() == 2u);
}

// It may serve already, with READY=1 still on its way, and the wakeup went to the one that died.
BOOST_FIXTURE_TEST_CASE(the_poke_waits_for_a_worker_that_is_ready, world) {
  host.on_launch = [](const launch_request&) {
    script slow;
    slow.ready_after = 1s;
    return slow;
  };
  auto web = this->web(1);
  settle(web);
  host.kill(host.living()[0], SIGKILL);
  host.poll();
  BOOST_TEST(host.poked.empty());
  BOOST_TEST(host.run_until([&] { return web.ready() == 1; }));
  host.poll();
  BOOST_TEST((host.poked == host.living()));
}

BOOST_FIXTURE_TEST_CASE(all_die_at_once, world) {
  auto web = this->web(50);
  settle(web);
  for (auto id : host.living()) host.kill(id, SIGSEGV);
  host.poll();
  BOOST_TEST(host.run_until([&] { return web.ready() == 50; }));
  BOOST_TEST(host.living().size() == 50u);
  BOOST_TEST(host.launches() == 100u);
}

BOOST_FIXTURE_TEST_CASE(resize_adds_at_the_end_and_retires_the_oldest_first, world) {
  auto web = this->web(2);
  settle(web);
  BOOST_TEST(run(web.resize(4)).ok);
  BOOST_TEST((numbers(*this) == std::vector<unsigned>{0, 1, 2, 3}));
  BOOST_TEST(run(web.resize(2)).ok);
  BOOST_TEST((numbers(*this) == std::vector<unsigned>{2, 3}));
  BOOST_TEST((last(event_kind::worker_exited)->why == exit_cause::scaled_down));
  BOOST_TEST(run(web.resize(3)).ok);
  BOOST_TEST((numbers(*this) == std::vector<unsigned>{2, 3, 0}));
}

BOOST_FIXTURE_TEST_CASE(twenty_steps_that_come_together_all_count, world) {
  auto web = this->web(2);
  std::vector<test::result<outcome>> all;
  for (int i = 0; i < 20; ++i) all.push_back(begin(web.resize(web.size() + 1)));
  BOOST_TEST(host.run_until(
      [&] { return std::ranges::all_of(all, [](auto& r) { return r->has_value(); }); }));
  BOOST_TEST(web.size() == 22u);
  BOOST_TEST(host.living().size() == 22u);
  for (auto& r : all) BOOST_TEST((*r)->ok);
}

BOOST_FIXTURE_TEST_CASE(a_failing_slot_costs_ten_starts_a_minute_and_delays_nobody, world) {
  host.on_launch = [](auto& r) { return r.slot == 1 ? fails_at_boot() : script{}; };
  auto web = this->web(3);
  auto outcome = run(web.settled());
  BOOST_TEST(!outcome.ok);
  BOOST_TEST((outcome.error == errc::degraded));
  auto row = web.status().slots[1];
  BOOST_TEST(row.state == "backing off");
  BOOST_TEST(row.detail.starts_with("next start in "));
  BOOST_TEST(row.detail.ends_with(" s, exit 70"));
  BOOST_TEST(row.last_exit == "exit 70 (crash)");

  host.run_for(30s);
  auto before = host.now();
  host.kill(host.living()[0], SIGKILL);
  BOOST_TEST(host.run_until([&] { return web.ready() == 2; }));
  BOOST_TEST((host.now() == before));
  host.run_for(30s);
  BOOST_TEST(host.launches() <= 2u + 1u + 10u);
  BOOST_TEST(host.launches() >= 2u + 1u + 5u);
}

BOOST_FIXTURE_TEST_CASE(a_launch_that_fails_is_tried_again, world) {
  int left = 4;
  host.on_launch = [&](auto&) {
    script s;
    if (left-- > 0) s.launch_fails = launch_error{"clone", EAGAIN, ""};
    return s;
  };
  auto web = this->web(1);
  settle(web);
  BOOST_TEST(web.status().slots[0].state == "backing off");
  BOOST_TEST(web.status().slots[0].last_exit.ends_with("(launch_failure)"));
  BOOST_TEST(host.run_until([&] { return web.ready() == 1; }, 1min));
  BOOST_TEST(web.status().slots[0].restarts == 4u);
}

BOOST_FIXTURE_TEST_CASE(a_first_program_that_does_not_open_is_opened_again, world) {
  int left = 10;
  host.on_open = [&](auto&, auto) {
    program_script s;
    if (left-- > 0) s.fails = launch_error{"mold", ENOENT, "preload"};
    return s;
  };
  auto web = this->web(2);
  auto outcome = run(web.settled());
  BOOST_TEST(!outcome.ok);
  BOOST_TEST(host.launches() == 0u);
  BOOST_TEST(host.run_until([&] { return web.ready() == 2; }, 5min));
}

BOOST_FIXTURE_TEST_CASE(a_roll_goes_one_by_one_and_never_has_fewer_ready, world) {
  host.on_launch = [](auto&) { return boots_in(2s); };
  auto web = this->web(3);
  settle(web);
  never_fewer watch(*this, web, 3);
  auto rolled = begin(web.roll());
  host.poll();
  BOOST_TEST(host.living().size() == 4u);
  BOOST_TEST(web.status().rolling);
  BOOST_TEST(host.run_until([&] { return rolled->has_value(); }));
  BOOST_TEST((*rolled)->ok);
  BOOST_TEST(watch.held);
  BOOST_TEST((generations(*this) == std::set<std::uint64_t>{2}));
  BOOST_TEST((numbers(*this) == std::vector<unsigned>{0, 1, 2}));
  BOOST_TEST(web.status().generation == 2u);
  BOOST_TEST(host.program("web", 1).open);  // for undo
  BOOST_TEST(host.program("web", 2).open);
  BOOST_TEST((last(event_kind::worker_exited)->why == exit_cause::replaced));
  BOOST_TEST(run(web.roll()).ok);
  BOOST_TEST(!host.program("web", 1).open);
}

BOOST_FIXTURE_TEST_CASE(a_successor_that_fails_puts_the_old_generation_back_everywhere, world) {
  auto web = this->web(3);
  settle(web);
  unsigned fresh = 0;
  host.on_launch = [&](auto& r) {
    return r.generation == 2 && ++fresh == 3 ? fails_at_boot(3) : script{};
  };
  never_fewer watch(*this, web, 3);
  auto outcome = run(web.roll());
  BOOST_TEST((outcome.error == errc::rolled_back));
  BOOST_TEST(outcome.reason == "slot 2: exit 3 (crash)");
  BOOST_TEST((generations(*this) == std::set<std::uint64_t>{1}));
  BOOST_TEST(web.ready() == 3u);
  BOOST_TEST(watch.held);
  BOOST_TEST(!host.program("web", 2).open);
  // The next one has a number of its own.
  host.on_launch = {};
  BOOST_TEST(run(web.roll()).ok);
  BOOST_TEST((generations(*this) == std::set<std::uint64_t>{3}));
}

BOOST_FIXTURE_TEST_CASE(a_program_that_does_not_open_fails_the_roll_and_touches_nothing, world) {
  auto web = this->web(2);
  settle(web);
  auto before = host.living();
  host.on_open = [](auto&, auto) {
    program_script s;
    s.fails = launch_error{"exec", ENOENT, "/srv/web"};
    return s;
  };
  auto outcome = run(web.roll());
  BOOST_TEST((outcome.error == errc::rolled_back));
  BOOST_TEST(outcome.reason.find("/srv/web") != std::string::npos);
  BOOST_TEST((host.living() == before));
  BOOST_TEST(web.status().generation == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_second_roll_supersedes_the_first, world) {
  host.on_launch = [](auto&) { return boots_in(2s); };
  auto web = this->web(3);
  settle(web);
  auto first = begin(web.roll());
  host.run_for(3s);  // one is replaced, the second on its way
  auto second = run(web.roll());
  BOOST_TEST(second.ok);
  BOOST_TEST((first->value().error == errc::superseded));
  BOOST_TEST((generations(*this) == std::set<std::uint64_t>{3}));
  BOOST_TEST(host.living().size() == 3u);
  BOOST_TEST(!host.program("web", 2).open);
}

BOOST_FIXTURE_TEST_CASE(deaths_and_resizes_during_a_roll, world) {
  host.on_launch = [](auto&) { return boots_in(2s); };
  auto web = this->web(4);
  settle(web);
  auto rolled = begin(web.roll());
  host.run_for(1s);
  host.kill(host.living()[0], SIGKILL);  // the old one that is being replaced
  host.kill(host.living()[4], SIGKILL);  // the new one, by a stranger
  host.run_for(3s);
  auto resized = begin(web.resize(6));
  host.run_for(1s);
  auto again = begin(web.resize(2));
  BOOST_TEST(host.run_until([&] { return rolled->has_value() && again->has_value(); }));
  BOOST_TEST((*rolled)->ok);
  BOOST_TEST((generations(*this) == std::set<std::uint64_t>{2}));
  BOOST_TEST(host.living().size() == 2u);
  BOOST_TEST(web.ready() == 2u);
}

BOOST_FIXTURE_TEST_CASE(one_slot_is_restarted, world) {
  host.on_launch = [](auto&) { return boots_in(2s); };
  auto web = this->web(2);
  settle(web);
  auto old = host.living()[1];
  never_fewer watch(*this, web, 2);
  BOOST_TEST(run(web.restart(1)).ok);
  BOOST_TEST(watch.held);
  BOOST_TEST((last(event_kind::worker_exited)->why == exit_cause::recycled));
  BOOST_TEST(host.living().size() == 2u);
  BOOST_TEST(std::ranges::count(host.living(), old) == 0);
  BOOST_TEST((numbers(*this) == std::vector<unsigned>{0, 1}));
  BOOST_TEST((run(web.restart(7)).error == errc::no_such_slot));
}

BOOST_FIXTURE_TEST_CASE(who_waits_for_a_restart_is_told_that_the_pool_is_closed, world) {
  auto web = this->web(2);
  settle(web);
  host.on_launch = [](auto&) { return boots_in(20s); };
  auto restarted = begin(web.restart(0));
  host.run_for(1s);
  BOOST_TEST(!restarted->has_value());
  BOOST_TEST(run(web.stop()).ok);
  host.poll();
  BOOST_REQUIRE(restarted->has_value());
  BOOST_TEST(((*restarted)->error == errc::pool_closed));
}

BOOST_FIXTURE_TEST_CASE(who_asks_for_a_signal_is_told_what_became_of_it, world) {
  auto web = this->web(2);
  settle(web);
  std::vector<boost::system::error_code> told;
  for (unsigned slot : {1u, 7u})
    web.async_signal(slot, SIGUSR1, [&](boost::system::error_code e) { told.push_back(e); });
  host.poll();
  BOOST_REQUIRE(told.size() == 2u);
  BOOST_TEST(!told[0]);
  BOOST_TEST((told[1] == errc::no_such_slot));
}

BOOST_FIXTURE_TEST_CASE(a_restart_that_fails_keeps_the_old_worker, world) {
  auto web = this->web(2);
  settle(web);
  auto before = host.living();
  host.on_launch = [](auto&) { return fails_at_boot(); };
  auto outcome = run(web.restart(0));
  BOOST_TEST((outcome.error == errc::degraded));
  BOOST_TEST(outcome.reason.find("exit 70") != std::string::npos);
  settle(web);
  BOOST_TEST((host.living() == before));
  BOOST_TEST(host.launches() == 3u);
}

BOOST_FIXTURE_TEST_CASE(drained_and_resumed, world) {
  host.on_launch = [](auto&) {
    script s;
    s.drain_takes = 5s;
    return s;
  };
  auto web = this->web(3);
  settle(web);
  BOOST_TEST(run(web.drain()).ok);
  BOOST_TEST(host.living().empty());
  BOOST_TEST(web.size() == 3u);
  BOOST_TEST(web.status().drained);
  BOOST_TEST(host.program("web", 1).open);
  BOOST_TEST(run(web.resume()).ok);
  BOOST_TEST((numbers(*this) == std::vector<unsigned>{0, 1, 2}));

  // Before the old ones have left.
  auto drained = begin(web.drain());
  host.run_for(1s);
  BOOST_TEST(run(web.roll()).ok);
  BOOST_TEST(host.living().size() == 3u);
  BOOST_TEST((generations(*this) == std::set<std::uint64_t>{2}));
}

BOOST_FIXTURE_TEST_CASE(a_stop_ends_everything_and_tells_the_last_report, world) {
  host.on_launch = [](auto&) {
    script s;
    s.drain_takes = 3s;
    s.reap_takes = 1s;
    return s;
  };
  auto web = this->web(3);
  settle(web);
  auto rolled = begin(web.roll());
  host.run_for(1s);
  auto resized = begin(web.resize(5));
  host.poll();
  BOOST_TEST(run(web.stop()).ok);
  BOOST_TEST(host.living().empty());
  host.poll();
  BOOST_TEST((rolled->value().error == errc::pool_closed));
  BOOST_TEST((resized->value().error == errc::pool_closed));
  BOOST_TEST(count(event_kind::worker_reported) == count(event_kind::worker_exited));
  BOOST_TEST((last(event_kind::pool_stopped) != nullptr));
  BOOST_TEST((run(web.resize(1)).error == errc::pool_closed));
  BOOST_TEST(!host.program("web", 1).open);
}

BOOST_FIXTURE_TEST_CASE(a_quick_stop_hastens_a_running_one, world) {
  host.on_launch = [](auto&) {
    script s;
    s.ignores_stop = true;
    return s;
  };
  auto web = this->web(2);
  settle(web);
  auto began = host.now();
  auto graceful = begin(web.stop());
  host.run_for(5s);
  BOOST_TEST(host.living().size() == 2u);
  BOOST_TEST(run(web.stop(true)).ok);
  BOOST_TEST((host.now() - began == 6s));
  host.poll();
  BOOST_TEST(graceful->has_value());
}

BOOST_FIXTURE_TEST_CASE(a_thousand_workers, world) {
  auto web = this->web(1000);
  auto began = host.now();
  BOOST_TEST(run(web.settled()).ok);
  BOOST_TEST(web.ready() == 1000u);
  BOOST_TEST((host.now() == began));
  BOOST_TEST(run(web.stop()).ok);
  BOOST_TEST(host.living().empty());
}

BOOST_FIXTURE_TEST_CASE(a_pool_that_grows_a_lot_is_full_at_once, world) {
  auto web = this->web(2);
  settle(web);
  auto began = host.now();
  run(web.resize(1000));
  BOOST_TEST((host.now() == began));
  BOOST_TEST(web.ready() == 1000u);
}

BOOST_FIXTURE_TEST_CASE(a_storm_of_deaths_is_bounded_and_everyone_has_a_turn, world) {
  auto web = this->web(300);
  settle(web);
  for (int i = 0; i < 3; ++i) {
    for (auto id : host.living()) host.kill(id, SIGKILL);
    host.poll();
  }
  BOOST_TEST(host.launches() == 600u);  // the budget of the pool, start included
  BOOST_TEST(host.living().empty());
  host.run_for(1s);
  BOOST_TEST(host.living().size() == 100u);
  settle(web);
  BOOST_TEST(web.ready() == 300u);
}

BOOST_FIXTURE_TEST_CASE(names_are_given_once, world) {
  auto web = this->web(1);
  BOOST_CHECK_THROW(this->web(1), std::invalid_argument);
  BOOST_CHECK_THROW(sup->pool("other", spec(""), 1), std::invalid_argument);
  BOOST_TEST(sup->pools().size() == 1u);
  BOOST_TEST(sup->find_pool("web").has_value());
  BOOST_TEST(!sup->find_pool("other").has_value());
}

BOOST_AUTO_TEST_SUITE_END()
