// What simulated processes can do beside living and dying.
#include <boost/test/unit_test.hpp>
#include <csignal>

#include "supervisor/prefork.hpp"
#include "supervisor/simulation.hpp"

using namespace std::chrono_literals;
namespace asio = boost::asio;
using supervisor::event_kind;
using supervisor::exit_cause;
using supervisor::process_script;

namespace {

asio::awaitable<int> one_worker(supervisor::supervisor& self) {
  supervisor::spec what("serve");
  what.boot_timeout = 10s;
  what.stop = {{SIGTERM, 5s}};
  self.pool("web", what, 1);
  supervisor::handlers nothing;
  co_await self.serve(nothing, supervisor::until(SIGTERM));
  co_return 0;
}

struct world : supervisor::simulation {
  /// Its first worker behaves like that, and the others like any.
  void begin(process_script first) {
    on_launch = [first](const supervisor::simulated_launch& launch) {
      return launch.start == 1 ? first : process_script{};
    };
    start(one_worker);
    run_for(1s);
  }
  const supervisor::event* last(event_kind kind) const {
    for (auto it = events().rbegin(); it != events().rend(); ++it)
      if (it->kind == kind) return &*it;
    return nullptr;
  }
  supervisor::slot_status worker() const { return pool("web").slots.at(0); }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(processes)

BOOST_FIXTURE_TEST_CASE(a_traced_one_hears_late_and_dies_late, world) {
  process_script traced;
  traced.traced = 3s;
  begin(traced);
  auto sent = elapsed();
  send(SIGTERM);
  BOOST_TEST(run() == 0);
  BOOST_TEST((elapsed() - sent == 6s));  // the tracer lets TERM through, KILL came, then the news
  BOOST_TEST(count(event_kind::worker_escalated) == 1u);
}

BOOST_FIXTURE_TEST_CASE(its_report_has_its_exit, world) {
  process_script s;
  s.exits_after = 100ms;
  s.exit_with = supervisor::exit_status::exited(3);
  begin(s);
  BOOST_REQUIRE(last(event_kind::worker_reported));
  BOOST_TEST((last(event_kind::worker_reported)->exit == s.exit_with));
}

BOOST_FIXTURE_TEST_CASE(one_that_tells_all_twice_counts_once, world) {
  process_script loud;
  loud.tells_twice = true;
  loud.exits_after = 5s;
  begin(loud);
  run_for(10s);
  BOOST_TEST(count(event_kind::worker_ready) == 2u);
  BOOST_TEST(count(event_kind::worker_exited) == 1u);
  BOOST_TEST(count(event_kind::worker_reported) == 1u);
}

BOOST_FIXTURE_TEST_CASE(readiness_that_is_lost_costs_the_boot_deadline, world) {
  process_script mute;
  mute.ready_after.reset();
  begin(mute);
  run_for(8s);
  BOOST_TEST(worker().state == "starting");
  run_for(2s);
  BOOST_TEST((last(event_kind::worker_exited)->why == exit_cause::boot_timeout));
  BOOST_TEST(worker().ready);
}

BOOST_FIXTURE_TEST_CASE(requests_are_counted_and_drained, world) {
  process_script busy;
  busy.request_every = 400ms;
  busy.service_time = 1s;
  begin(busy);
  auto work = worker().work.value();
  BOOST_TEST(work.requests == 3u);
  BOOST_TEST(work.in_flight == 2u);  // the first ended just now
  BOOST_TEST(work.oldest.what == "request 2");
  BOOST_TEST((work.oldest.age == 600ms));
  BOOST_TEST((work.latest.age == 200ms));
  auto told = elapsed();
  send(SIGTERM);
  BOOST_TEST(run() == 0);
  BOOST_TEST((elapsed() - told == 800ms));
}

BOOST_FIXTURE_TEST_CASE(a_leak_ends_at_the_limit, world) {
  process_script leaky;
  leaky.memory_kib = 1000;
  leaky.leaks_kib = 100;
  leaky.memory_limit_kib = 2000;
  begin(leaky);
  run_for(8s);
  BOOST_TEST(count(event_kind::worker_exited) == 0u);
  run_for(2s);
  BOOST_TEST((last(event_kind::worker_exited)->why == exit_cause::out_of_memory));
  BOOST_TEST(last(event_kind::worker_reported)->report->max_rss_kib == 2000);
}

BOOST_FIXTURE_TEST_CASE(what_it_forked_is_gone_when_it_is_reaped, world) {
  process_script parent;
  parent.forks = true;
  parent.reap_takes = 2s;
  begin(parent);
  send(SIGTERM);
  BOOST_TEST(run() == 0);
}

BOOST_FIXTURE_TEST_CASE(a_stall_makes_things_late_and_kills_nobody, world) {
  process_script slow;
  slow.ready_after = 4s;
  begin(slow);
  stall(8s);
  run_for(1s);
  BOOST_TEST(worker().ready);
  BOOST_TEST(count(event_kind::worker_stopping) == 0u);
}

BOOST_FIXTURE_TEST_CASE(the_wall_clock_moves_no_deadline, world) {
  process_script mute;
  mute.ready_after.reset();
  begin(mute);
  auto wall = wall_now();
  turn_wall_clock(-24h);
  run_for(8s);
  BOOST_TEST((wall_now() - wall == 8s - 24h));
  BOOST_TEST(worker().state == "starting");
  run_for(2s);
  BOOST_TEST(worker().ready);
}

BOOST_FIXTURE_TEST_CASE(a_policy_that_waits_for_nothing_is_told, world) {
  start([](supervisor::supervisor& self) -> asio::awaitable<int> {
    std::vector<int> numbers{SIGUSR1};
    co_await self.signals().wait(std::move(numbers));
    co_return 3;
  });
  BOOST_CHECK_EXCEPTION(run(), supervisor::simulation_failure, [](auto& failure) {
    return std::string_view(failure.what()).find("nothing can happen") != std::string_view::npos;
  });
  send(SIGUSR1);
  BOOST_TEST(run() == 3);
}

BOOST_AUTO_TEST_SUITE_END()
