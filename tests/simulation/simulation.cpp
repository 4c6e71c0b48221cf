// The public simulation, as a user's tests see it.
#include "supervisor/simulation.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>

using namespace std::chrono_literals;
namespace asio = boost::asio;

// doc/simulation.md shows what follows.

asio::awaitable<int> day_and_night(supervisor::supervisor& self) {
  auto what = supervisor::spec::command("render-farm");
  auto pool = self.pool("farm", what, 2);

  supervisor::handlers on;
  on(SIGUSR1, [pool](auto) mutable -> asio::awaitable<void> { co_await pool.resize(4); });
  on(SIGUSR2, [pool](auto) mutable -> asio::awaitable<void> { co_await pool.resize(2); });
  on(SIGHUP, [pool](auto) mutable -> asio::awaitable<void> { co_await pool.roll(); });
  co_await self.serve(on, supervisor::until(SIGINT, SIGTERM));

  co_await pool.stop();
  co_return 0;
}

BOOST_AUTO_TEST_SUITE(simulation)

BOOST_AUTO_TEST_CASE(twice_as_many_by_day) {
  supervisor::simulation sim;
  sim.start(day_and_night);
  sim.run_for(1s);
  BOOST_TEST(sim.pool("farm").ready == 2u);
  sim.send(SIGUSR1);
  sim.run_for(1s);
  BOOST_TEST(sim.pool("farm").ready == 4u);
  sim.send(SIGTERM);
  BOOST_TEST(sim.run() == 0);
}

BOOST_AUTO_TEST_CASE(a_program_that_does_not_work_is_rolled_back) {
  supervisor::simulation sim;
  sim.on_launch = [](const supervisor::simulated_launch& launch) {
    supervisor::process_script script;
    if (launch.generation == 2) {
      script.ready_after = 1s;
      script.exits_after = 100ms;
      script.exit_with = supervisor::exit_status::exited(1);
    }
    return script;
  };
  sim.start(day_and_night);
  sim.run_for(1s);
  sim.send(SIGHUP);
  sim.run_for(10s);
  BOOST_TEST(sim.count(supervisor::event_kind::rollout_failed) == 1u);
  BOOST_TEST(sim.pool("farm").generation == 1u);
  BOOST_TEST(sim.pool("farm").ready == 2u);
}

BOOST_AUTO_TEST_CASE(a_thousand_runs) {
  supervisor::exploration how;
  how.signals = {SIGHUP, SIGUSR1, SIGUSR2};
  auto failed = supervisor::explore([](auto& sim) { sim.start(day_and_night); }, how);
  BOOST_TEST(!failed, describe(failed));
}

BOOST_AUTO_TEST_CASE(a_stop_at_every_step) {
  auto scenario = [](supervisor::simulation& sim) {
    sim.start(day_and_night);
    sim.run_for(1s);
    sim.kill(sim.processes().at(0).pid);
    sim.send(SIGUSR1);
    sim.run_for(1s);
  };
  auto failed = supervisor::stop_at_every_step(scenario, 40s);
  BOOST_TEST(!failed, describe(failed));
}

// What is not simulated would never come.
asio::awaitable<int> impatient(supervisor::supervisor& self) {
  asio::steady_timer timer(self.executor(), 1h);
  co_await timer.async_wait(asio::use_awaitable);
  co_return 0;
}

asio::awaitable<void> poll_a_file(supervisor::supervisor& self) {
  co_await self.sleep_for(5s);
  asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
  co_await timer.async_wait(asio::use_awaitable);
}

asio::awaitable<int> with_helper(supervisor::supervisor& self) {
  self.spawn(poll_a_file(self), "poll_a_file");
  supervisor::handlers on;
  on(SIGHUP, [&self](auto) -> asio::awaitable<void> {
    asio::steady_timer timer(self.executor(), 1h);
    co_await timer.async_wait(asio::use_awaitable);
  });
  co_await self.serve(on, supervisor::until(SIGINT, SIGTERM));
  co_return 0;
}

bool names(const supervisor::simulation_failure& failure, std::string_view who) {
  BOOST_TEST_MESSAGE(failure.what());
  return std::string_view(failure.what()).starts_with(who);
}

BOOST_AUTO_TEST_CASE(who_waits_for_something_else_is_named) {
  supervisor::simulation sim;
  sim.start(impatient);
  BOOST_CHECK_EXCEPTION(sim.run(), supervisor::simulation_failure,
                        [](auto& f) { return names(f, "the policy waits for something outside"); });

  supervisor::simulation other;
  other.start(with_helper);
  other.run_for(4s);
  BOOST_CHECK_EXCEPTION(other.run_for(4s), supervisor::simulation_failure,
                        [](auto& f) { return names(f, "poll_a_file waits"); });

  supervisor::simulation third;
  third.start(with_helper);
  third.run_for(1s);
  third.send(SIGHUP);
  BOOST_CHECK_EXCEPTION(third.run_for(1s), supervisor::simulation_failure,
                        [](auto& f) { return names(f, "the handler of SIGHUP waits"); });
}

BOOST_AUTO_TEST_SUITE_END()
