// What a policy's outside shows to whoever looks at it, as a user's tests script it.
#include <boost/asio/awaitable.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>

#include "supervisor/scaling.hpp"
#include "supervisor/simulation.hpp"

using namespace std::chrono_literals;
namespace asio = boost::asio;

namespace {

asio::awaitable<int> until_term(supervisor::supervisor& self) {
  supervisor::handlers none;
  co_await self.serve(none, supervisor::until(SIGTERM));
  co_return 0;
}

asio::awaitable<int> looked_after(supervisor::supervisor& self) {
  supervisor::spec what("serve");
  auto healthz = supervisor::probe::http("127.0.0.1:{9100+slot}", "/healthz");
  what.liveness.push_back(healthz.every(10s).within(1s).ill_after(3));
  self.pool("web", what, 2);
  co_return co_await until_term(self);
}

template <typename Policy>
supervisor::policy scaled(unsigned workers, Policy by) {
  return [=](supervisor::supervisor& self) -> asio::awaitable<int> {
    auto pool = self.pool("web", supervisor::spec::command("any-language"), workers);
    self.spawn(supervisor::scale(self, pool, by), "scale");
    co_return co_await until_term(self);
  };
}

void stop(supervisor::simulation& sim) {
  sim.send(SIGTERM);
  BOOST_TEST(sim.run() == 0);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(outside)

BOOST_AUTO_TEST_CASE(a_worker_that_says_it_is_ill_is_ended) {
  supervisor::simulation sim;
  sim.on_probe = [](const supervisor::simulated_process& who, const supervisor::probe&) {
    if (who.slot == 0) return supervisor::probe_answer(true, "200 OK");
    return supervisor::probe_answer(false, "503 Service Unavailable");
  };
  sim.start(looked_after);
  sim.run_for(20s);  // two looks
  BOOST_TEST(sim.count(supervisor::event_kind::worker_stopping) == 0u);
  sim.run_for(11s);
  BOOST_TEST(sim.count(supervisor::event_kind::worker_ailing) == 3u);
  BOOST_TEST(sim.count(supervisor::event_kind::worker_stopping) == 1u);
  for (auto& e : sim.events())
    if (e.kind == supervisor::event_kind::worker_ailing) {
      BOOST_TEST(e.slot == 1u);
      BOOST_TEST(e.text == "http://127.0.0.1:9101/healthz: 503 Service Unavailable");
    }
  stop(sim);
}

BOOST_AUTO_TEST_CASE(commands_are_busy_by_the_cpu_time_they_use) {
  supervisor::simulation sim;
  auto used_each_second = 30ms;  // 3 % of a CPU
  sim.on_cpu_time = [&](const supervisor::simulated_process& who) {
    BOOST_TEST(who.pool == "web");
    return sim.elapsed() / 1s * used_each_second;
  };
  supervisor::spare_workers by;
  by.min_spare = by.max_spare = 1;
  sim.start(scaled(3, by));
  sim.run_for(1min);
  BOOST_TEST(sim.pool("web").ready == 8u);
  used_each_second = 0ms;
  sim.run_for(1min);
  BOOST_TEST(sim.pool("web").ready == 1u);
  stop(sim);
}

BOOST_AUTO_TEST_CASE(connections_that_wait_bring_workers) {
  supervisor::simulation sim;
  sim.start(scaled(0, supervisor::on_demand()));
  sim.run_for(1h);
  BOOST_TEST(sim.launches() == 0u);
  sim.queue(3);
  sim.settle();
  BOOST_TEST(sim.pool("web").ready == 3u);
  sim.queue(0);  // they have accepted
  sim.run_for(1min);
  BOOST_TEST(sim.pool("web").ready == 0u);
  BOOST_TEST(sim.processes().empty());
  stop(sim);
}

BOOST_AUTO_TEST_CASE(a_machine_that_was_suspended_blames_nobody) {
  supervisor::simulation sim;
  sim.on_probe = [](auto&, auto&) {
    supervisor::probe_answer silence;
    silence.takes.reset();
    return silence;
  };
  sim.start(looked_after);
  auto wall = sim.wall_now();
  auto began = sim.now();
  for (int i = 0; i < 120; ++i) {
    sim.run_for(500ms);
    sim.suspend(1h);
  }
  BOOST_TEST((sim.now() - began == 1min));
  BOOST_TEST((sim.wall_now() - wall == 1min + 120h));
  BOOST_TEST(sim.count(supervisor::event_kind::worker_ailing) == 0u);
  sim.run_for(1min);  // awake, it sees that none answers
  BOOST_TEST(sim.count(supervisor::event_kind::worker_ailing) >= 2u);
  stop(sim);
}

BOOST_AUTO_TEST_SUITE_END()
