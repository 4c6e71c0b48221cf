// The worker kit, in real workers of a mold.
#include "supervisor/worker.hpp"

#include <sys/resource.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <stdexcept>

#include "support/functions.hpp"
#include "support/mold_process.hpp"

namespace asio = boost::asio;
using supervisor::exit_status;
using supervisor::spec;
using test::mold_process;

namespace {

asio::awaitable<void> wait_long(supervisor::worker& self) {
  asio::steady_timer timer(self.executor(), std::chrono::hours(1));
  co_await timer.async_wait(asio::use_awaitable);
}

asio::awaitable<void> say_after_stop(supervisor::worker& self, std::string text) {
  co_await self.stopping();
  self.status(text);
}

asio::awaitable<void> fail(std::string what) {
  throw std::runtime_error(what);
  co_return;
}

asio::awaitable<void> serve_tasks(supervisor::worker& self) {
  self.spawn(say_after_stop(self, "task\ndone"));
  self.spawn(fail("a task's own trouble"));
  self.ready();
  co_await self.stopping();
}
const test::function tasks{"worker.tasks", serve_tasks};

asio::awaitable<void> serve_stubborn(supervisor::worker& self) {
  self.spawn(wait_long(self));
  self.ready();
  co_await wait_long(self);
}
const test::function stubborn{"worker.stubborn", serve_stubborn};

asio::awaitable<void> serve_badly(supervisor::worker& self) {
  self.spawn(wait_long(self));
  throw std::runtime_error("no way");
  co_return;
}
const test::function bad{"worker.bad", serve_badly};

asio::awaitable<void> serve_nobody(supervisor::worker& self) {
  std::string what;
  try {
    self.listener("nope");
  } catch (const std::invalid_argument& e) {
    what = e.what();
  }
  self.status(what);
  co_return;
}
const test::function nobody{"worker.nobody", serve_nobody};

asio::awaitable<void> serve_talking(supervisor::worker& self) {
  self.ready();
  for (int i = 0; i < 10'000; ++i) self.status(std::to_string(i));
  self.status("end");
  co_await self.stopping();
}
const test::function talking{"worker.talking", serve_talking};

asio::awaitable<void> serve_requests(supervisor::worker& self) {
  const supervisor::worker::request first(self);
  {
    const supervisor::worker::request second(self);
  }
  self.status(std::to_string(self.requests()));
  co_await self.stopping();
}
const test::function requests{"worker.requests", serve_requests};

asio::awaitable<void> serve_own_signal(supervisor::worker& self) {
  auto on_usr2 = [&self](supervisor::signal_event) -> asio::awaitable<void> {
    self.reloading();
    self.status("USR2");
    self.ready();
    co_return;
  };
  auto kept = self.signals().on(SIGUSR2, on_usr2);
  self.ready();
  co_await self.stopping();
}
const test::function own_signal{"worker.own_signal", serve_own_signal};

}  // namespace

BOOST_AUTO_TEST_SUITE(worker)

BOOST_AUTO_TEST_CASE(term_drains_and_tasks_are_awaited) {
  mold_process mold(spec("worker.tasks"));
  mold.start();
  auto& worker = mold.launch(true);
  BOOST_TEST(worker.word() == "READY=1");
  BOOST_REQUIRE(kill(worker.pid, SIGTERM) == 0);
  BOOST_TEST(worker.word() == "STOPPING=1");
  BOOST_TEST(worker.word() == "STATUS=task done");
  BOOST_TEST(worker.word() == "");
  BOOST_TEST(worker.output() == "worker task: a task's own trouble\n");
  BOOST_TEST(mold.end(worker).success());
}

BOOST_AUTO_TEST_CASE(int_and_usr1_are_ignored_and_a_second_term_changes_nothing) {
  mold_process mold(spec("worker.tasks"));
  mold.start();
  auto& worker = mold.launch_ready();
  for (int number : {SIGINT, SIGUSR1, SIGTERM, SIGTERM}) kill(worker.pid, number);
  BOOST_TEST(worker.word() == "STOPPING=1");
  BOOST_TEST(worker.word() == "STATUS=task done");
  BOOST_TEST(mold.end(worker).success());
}

BOOST_AUTO_TEST_CASE(quit_cancels_what_is_in_flight) {
  mold_process mold(spec("worker.stubborn"));
  mold.start();
  auto& worker = mold.launch_ready();
  BOOST_REQUIRE(kill(worker.pid, SIGTERM) == 0);
  BOOST_TEST(worker.word() == "STOPPING=1");
  BOOST_REQUIRE(kill(worker.pid, SIGQUIT) == 0);
  BOOST_TEST(worker.word() == "");
  BOOST_TEST(mold.end(worker).success());
}

BOOST_AUTO_TEST_CASE(a_worker_whose_supervisor_is_gone_leaves) {
  mold_process mold(spec("worker.stubborn"));
  mold.start();
  auto& worker = mold.launch_ready();
  worker.channel.reset();
  BOOST_TEST(mold.end(worker).success());
}

BOOST_AUTO_TEST_CASE(an_exception_is_exit_70_and_told) {
  mold_process mold(spec("worker.bad"));
  mold.start();
  auto& worker = mold.launch(true);
  BOOST_TEST(worker.output() == "worker function: no way\n");
  BOOST_TEST((mold.end(worker) == exit_status::exited(70)));
}

BOOST_AUTO_TEST_CASE(an_unknown_listener_is_told_with_the_known_ones) {
  auto where = supervisor::listener_spec::parse("admin=127.0.0.1:0");
  const auto socket = test::kernel::open_listener(where);
  mold_process mold(spec("worker.nobody"));
  mold.start({{where.name, socket.get()}});
  auto& worker = mold.launch();
  BOOST_TEST(worker.word() == "STATUS=no listener 'nope'; there is admin");
  BOOST_TEST(mold.end(worker).success());
}

BOOST_AUTO_TEST_CASE(a_busy_period_is_told_once_and_a_ping_is_answered) {
  mold_process mold(spec("worker.requests"));
  mold.start();
  auto& worker = mold.launch();
  BOOST_TEST(worker.word() == "X_BUSY=1");
  BOOST_TEST(worker.word() == "STATUS=2");
  BOOST_TEST(mold.cells[0].in_flight.load() == 1u);
  BOOST_TEST(mold.cells[0].requests.load() == 2u);
  worker.say("X_PING=1");
  BOOST_TEST(worker.word() == "X_ALIVE=1");
}

BOOST_AUTO_TEST_CASE(a_worker_has_signals_of_its_own) {
  mold_process mold(spec("worker.own_signal"));
  mold.start();
  auto& worker = mold.launch_ready();
  BOOST_REQUIRE(kill(worker.pid, SIGUSR2) == 0);
  for (auto* word : {"RELOADING=1", "STATUS=USR2", "READY=1"}) BOOST_TEST(worker.word() == word);
}

BOOST_AUTO_TEST_CASE(of_many_status_texts_that_nobody_reads_the_last_is_kept) {
  mold_process mold(spec("worker.talking"));
  mold.start();
  auto& worker = mold.launch_ready();
  const auto deadline = std::chrono::steady_clock::now() + test::patience;
  while (!test::status_of(worker.pid, "State").starts_with("S")) {
    BOOST_REQUIRE(std::chrono::steady_clock::now() < deadline);
    sched_yield();
  }
  int words = 1;
  while (worker.word() != "STATUS=end") ++words;
  BOOST_TEST(words < 5'000);  // what the socket holds
}

BOOST_AUTO_TEST_SUITE_END()
