// INT as KeyboardInterrupt: what becomes of a policy, and of its workers, when a stop signal comes
// that it neither handles nor waits for.
#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <boost/test/unit_test.hpp>
#include <fstream>

#include "supervisor/condition.hpp"
#include "supervisor/deadline.hpp"
#include "support/leftovers.hpp"
#include "support/policy_process.hpp"

using boost::asio::awaitable;
using test::policy_process;
using namespace std::chrono_literals;
using policy_class = supervisor::supervisor;

namespace {

awaitable<void> open_pool(policy_class& self, const char* ignored = "0", unsigned size = 2) {
  auto what = supervisor::spec::command(TEST_CHILD, {"print", "up", "sleep"});
  if (ignored[0] != '0') what.arguments = {"ignore", ignored, "print", "up", "sleep"};
  what.alive_for = 50ms;
  what.stop.front().wait = 1h;
  auto pool = self.pool("sleepers", what, size);
  co_await pool.settled();
  self.note("settled");
}

awaitable<int> sleep_on(policy_class& self) {
  co_await open_pool(self);
  co_await self.sleep_for(1h);
  co_return 0;
}

/// Its workers do not hear TERM, and have an hour to answer.
awaitable<int> keep_deaf_ones(policy_class& self) {
  co_await open_pool(self, "15");
  co_await self.sleep_for(1h);
  co_return 0;
}

awaitable<int> wait_with_a_limit(policy_class& self) {
  co_await open_pool(self);
  co_await supervisor::with_deadline(self.sleep_for(1h), 2h);
  co_return 0;
}

awaitable<int> wait_for_a_signal(policy_class& self) {
  co_await open_pool(self);
  const std::vector<int> other{SIGUSR1};
  auto event = co_await self.signals().wait(other);
  co_return event.number;
}

awaitable<int> serve_others(policy_class& self) {
  co_await open_pool(self);
  supervisor::handlers on;
  on(SIGHUP, [&](auto) -> awaitable<void> { co_await self.sleep_for(1h); });
  supervisor::until stop(SIGUSR1);
  auto event = co_await self.serve(on, std::move(stop));
  co_return event.number;
}

awaitable<int> wait_for_a_pool(policy_class& self) {
  co_await open_pool(self);
  auto what = supervisor::spec::command(TEST_CHILD, {"sleep"});
  what.ready = supervisor::readiness::notify;
  what.boot_timeout = 1h;
  auto never = self.pool("never ready", what, 1);
  co_await never.settled();
  co_return 0;
}

awaitable<int> clean_up(policy_class& self) {
  co_await open_pool(self);
  try {
    co_await self.sleep_for(1h);
  } catch (const boost::system::system_error& error) {
    if (error.code() != boost::asio::error::operation_aborted) throw;
    self.note("cleaned up");
    co_return 5;
  }
  co_return 0;
}

awaitable<int> fail_to_clean_up(policy_class& self) {
  co_await open_pool(self);
  try {
    co_await self.sleep_for(1h);
  } catch (const boost::system::system_error&) {
    throw std::runtime_error("cannot clean up");
  }
  co_return 0;
}

awaitable<int> handle_it(policy_class& self) {
  co_await open_pool(self);
  auto handler = self.signals().on(SIGINT, [&](auto) -> awaitable<void> {
    self.note("handled");
    co_return;
  });
  const std::vector<int> next{SIGUSR1};
  co_await self.signals().wait(next);
  handler.reset();
  self.note("no handler any more");
  co_await self.sleep_for(1h);
  co_return 0;
}

awaitable<int> wait_twice(policy_class& self) {
  const std::vector<int> interrupts{SIGINT}, next{SIGUSR1};
  co_await open_pool(self);
  co_await self.signals().wait(interrupts);
  self.note("between two waits");
  co_await self.signals().wait(next);
  auto second = co_await self.signals().wait(interrupts);
  co_return second.number == SIGINT ? 9 : 1;
}

awaitable<int> serve_until_int(policy_class& self) {
  co_await open_pool(self, "15");
  const supervisor::handlers none;
  supervisor::until stop(SIGINT);
  co_await self.serve(none, std::move(stop));
  self.note("winding down");
  auto pools = self.pools();
  co_await pools.front().stop();
  co_return 0;
}

std::string status_of(pid_t pid, const std::string& field) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(field + ":\t")) return line.substr(field.size() + 2);
  return {};
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(interrupted, test::leftovers)

BOOST_AUTO_TEST_CASE(the_policy_is_cancelled_and_everything_stopped_in_order) {
  const std::tuple<int, int> table[] = {{SIGINT, 130}, {SIGTERM, 143}, {SIGQUIT, 131}};
  for (auto [number, code] : table) {
    policy_process self(sleep_on);
    self.wait_for("settled");
    self.signal(number);
    BOOST_TEST(self.finish() == code, self.log());
    BOOST_TEST(self.says(supervisor::signal_name(number) + ", which the policy neither handles"),
               self.log());
    BOOST_TEST(self.says("sleepers gen 1 stopped, no worker is left"), self.log());
    BOOST_TEST(self.says("stopped, exit code " + std::to_string(code)), self.log());
    BOOST_TEST(!self.says("failed"), self.log());
  }
}

BOOST_AUTO_TEST_CASE(wherever_it_is_suspended) {
  for (auto& decide : {wait_with_a_limit, wait_for_a_signal, serve_others, wait_for_a_pool}) {
    policy_process self(decide);
    self.wait_for("settled");
    self.signal(SIGINT);
    BOOST_TEST(self.finish() == 130, self.log());
    BOOST_TEST(self.says("sleepers gen 1 stopped, no worker is left"), self.log());
  }
}

BOOST_AUTO_TEST_CASE(the_second_one_ends_at_once) {
  policy_process self(keep_deaf_ones);
  self.wait_for("settled");
  self.signal(SIGINT);
  self.wait_for("stopping: gracefully");
  self.signal(SIGINT);
  BOOST_TEST(self.finish() == 130, self.log());
  BOOST_TEST(self.says("SIGKILL"), self.log());
  BOOST_TEST(self.says("sleepers gen 1 stopped, no worker is left"), self.log());
}

BOOST_AUTO_TEST_CASE(quit_does_not_wait_for_the_deaf) {
  policy_process self(keep_deaf_ones);
  self.wait_for("settled");
  self.signal(SIGQUIT);
  BOOST_TEST(self.finish() == 131, self.log());
}

BOOST_AUTO_TEST_CASE(a_policy_may_catch_it) {
  policy_process careful(clean_up);
  careful.wait_for("settled");
  careful.signal(SIGINT);
  BOOST_TEST(careful.finish() == 5, careful.log());
  BOOST_TEST(careful.says("cleaned up"), careful.log());

  policy_process unlucky(fail_to_clean_up);
  unlucky.wait_for("settled");
  unlucky.signal(SIGINT);
  BOOST_TEST(unlucky.finish() == 1, unlucky.log());
  BOOST_TEST(unlucky.says("the policy failed: cannot clean up"), unlucky.log());
}

BOOST_AUTO_TEST_CASE(one_that_is_handled_cancels_nothing_until_its_handler_is_dropped) {
  policy_process self(handle_it);
  self.wait_for("settled");
  self.signal(SIGINT);
  self.wait_for("handled");
  self.signal(SIGINT);
  self.wait_for("handled");
  self.signal(SIGUSR1);
  self.wait_for("no handler any more");
  self.signal(SIGINT);
  BOOST_TEST(self.finish() == 130, self.log());
}

BOOST_AUTO_TEST_CASE(one_between_two_waits_is_kept_for_the_second) {
  policy_process self(wait_twice);
  self.wait_for("settled");
  self.signal(SIGINT);
  self.wait_for("between two waits");
  self.signal(SIGINT);
  self.wait_for("SIGINT");
  self.signal(SIGUSR1);
  BOOST_TEST(self.finish() == 9, self.log());
}

BOOST_AUTO_TEST_CASE(one_after_serve_has_returned_cancels_what_comes_then) {
  policy_process self(serve_until_int);
  self.wait_for("settled");
  self.signal(SIGINT);
  self.wait_for("winding down");
  self.signal(SIGINT);
  self.wait_for("cancelling the policy");
  self.wait_for("stopping: gracefully");
  self.signal(SIGINT);
  BOOST_TEST(self.finish() == 130, self.log());
}

BOOST_AUTO_TEST_CASE(a_broken_pipe_is_an_error_code_from_the_start) {
  policy_process self(sleep_on);
  self.wait_for("settled");
  auto bit = std::uint64_t{1} << (SIGPIPE - 1);
  BOOST_TEST((std::stoull(status_of(self.pid(), "SigIgn"), nullptr, 16) & bit) != 0u);
  auto workers = supervisor::kernel::children_of(self.pid());
  BOOST_TEST(workers.size() == 2u);
  for (pid_t pid : workers) BOOST_TEST(status_of(pid, "SigIgn") == "0000000000000000");
  self.signal(SIGTERM);
  BOOST_TEST(self.finish() == 143);
}

BOOST_AUTO_TEST_SUITE_END()
