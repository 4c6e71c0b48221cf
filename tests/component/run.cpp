// From a policy to the exit code of a whole process, forked for each test.
#include "supervisor/run.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <stdexcept>

#include "kernel/unique_fd.hpp"
#include "support/leftovers.hpp"
#include "support/temporary.hpp"

BOOST_AUTO_TEST_SUITE(run)

namespace asio = boost::asio;
using asio::awaitable;
using supervisor::kernel::unique_fd;

namespace {

struct ending {
  int code = -1;
  std::string err;
};

/// Runs `decide` in a process of its own, to its end.
ending run_alone(const supervisor::policy& decide, supervisor::run_options options = {}) {
  int ends[2];
  BOOST_REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  unique_fd ours(ends[0]), theirs(ends[1]);
  pid_t pid = ::fork();
  BOOST_REQUIRE(pid >= 0);
  if (pid == 0) {
    ::alarm(60);
    ::dup2(theirs.get(), STDERR_FILENO);
    theirs.reset();
    char name[] = "deciding";
    char* argv[] = {name, nullptr};
    ::_exit(supervisor::run(1, argv, decide, {}, std::move(options)));
  }
  theirs.reset();
  ending end;
  char buffer[4096];
  for (ssize_t size; (size = ::read(ours.get(), buffer, sizeof buffer)) > 0;)
    end.err.append(buffer, static_cast<std::size_t>(size));
  int status = 0;
  BOOST_REQUIRE(::waitpid(pid, &status, 0) == pid);
  BOOST_TEST(WIFEXITED(status), "ended by signal " << WTERMSIG(status));
  end.code = WEXITSTATUS(status);
  return end;
}

bool says(const ending& end, const std::string& words) { return end.err.find(words) != words.npos; }

awaitable<int> return_three(supervisor::supervisor&) { co_return 3; }

awaitable<int> throw_at_once(supervisor::supervisor&) {
  throw std::runtime_error("out of ideas");
  co_return 0;
}

awaitable<void> open_and_settle(supervisor::supervisor& self) {
  auto what = supervisor::spec::command("sleep").arg("1000000");
  what.alive_for = std::chrono::milliseconds(1);
  auto pool = self.pool("sleepers", what, 2);
  co_await pool.settled();
}

awaitable<int> throw_later(supervisor::supervisor& self) {
  co_await open_and_settle(self);
  throw std::runtime_error("out of ideas");
}

awaitable<int> leave_them_running(supervisor::supervisor& self) {
  co_await open_and_settle(self);
  co_return 0;
}

awaitable<int> post_what_throws(supervisor::supervisor& self) {
  co_await open_and_settle(self);
  auto executor = co_await asio::this_coro::executor;
  asio::post(executor, [] { throw std::runtime_error("a handler of the user's"); });
  const supervisor::handlers none;
  supervisor::until stop(SIGTERM);
  co_await self.serve(none, std::move(stop));
  co_return 0;
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(what_a_policy_returns_is_the_exit_code, test::leftovers) {
  auto end = run_alone(return_three);
  BOOST_TEST(end.code == 3);
  BOOST_TEST(says(end, "deciding (libsupervisor"), end.err);  // it never waited, and yet is told
  BOOST_TEST(says(end, "stopped, exit code 3"), end.err);
}

BOOST_FIXTURE_TEST_CASE(a_policy_that_throws_at_once_says_one_thing, test::leftovers) {
  auto end = run_alone(throw_at_once);
  BOOST_TEST(end.code == 1);
  BOOST_TEST(end.err == "deciding: out of ideas\n");
}

BOOST_FIXTURE_TEST_CASE(a_policy_that_throws_has_its_pools_stopped, test::leftovers) {
  auto end = run_alone(throw_later);
  BOOST_TEST(end.code == 1);
  BOOST_TEST(says(end, "the policy failed: out of ideas"), end.err);
  BOOST_TEST(says(end, "sleepers gen 1 stopped, no worker is left"), end.err);
}

BOOST_FIXTURE_TEST_CASE(what_a_policy_leaves_running_is_stopped, test::leftovers) {
  auto end = run_alone(leave_them_running);
  BOOST_TEST(end.code == 0);
  BOOST_TEST(says(end, "sleepers gen 1 stopped, no worker is left"), end.err);
}

BOOST_FIXTURE_TEST_CASE(a_handler_that_throws_ends_everything_in_order, test::leftovers) {
  auto end = run_alone(post_what_throws);
  BOOST_TEST(end.code == 1);
  BOOST_TEST(says(end, "a handler failed: a handler of the user's"), end.err);
  BOOST_TEST(says(end, "sleepers gen 1 stopped, no worker is left"), end.err);
}

BOOST_FIXTURE_TEST_CASE(a_full_disk_under_the_log_stops_nothing, test::leftovers) {
  supervisor::run_options options;
  options.log.file = "/dev/full";
  BOOST_TEST(run_alone(leave_them_running, options).code == 0);
}

BOOST_FIXTURE_TEST_CASE(a_control_socket_that_was_removed_stops_nothing, test::leftovers) {
  test::temporary_directory there;
  supervisor::run_options options;
  options.control = there / "c.sock";
  auto end = run_alone(
      [path = options.control](supervisor::supervisor& self) -> awaitable<int> {
        ::unlink(path.c_str());
        return leave_them_running(self);
      },
      options);
  BOOST_TEST(end.code == 0);
  BOOST_TEST(std::filesystem::is_empty(there.path()));
}

BOOST_AUTO_TEST_SUITE_END()
