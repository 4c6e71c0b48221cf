// Coroutines with one owner.
#include "supervisor/task_group.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>
#include <stdexcept>

namespace asio = boost::asio;
using supervisor::task_group;

namespace {

asio::awaitable<void> wait_long(bool& started) {
  started = true;
  asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::hours(1));
  co_await timer.async_wait(asio::use_awaitable);
}

asio::awaitable<void> spawn_and_cancel(task_group& group, bool& started) {
  group.spawn(wait_long(started));
  group.cancel();
  co_return;
}

asio::awaitable<void> cancel_own(task_group& group) {
  group.cancel();
  co_return;
}

asio::awaitable<void> fail() {
  throw std::runtime_error("trouble");
  co_return;
}

/// Runs join() to its end; what it threw comes back.
std::string joined(asio::io_context& context, task_group& group) {
  std::string what = "never";
  auto done = [&](std::exception_ptr error) {
    what = "";
    try {
      if (error) std::rethrow_exception(error);
    } catch (const std::exception& e) {
      what = e.what();
    }
  };
  asio::co_spawn(context, group.join(), done);
  context.run();
  return what;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(task_groups)

BOOST_AUTO_TEST_CASE(a_member_cancelled_before_it_began_gets_to_its_first_suspension) {
  asio::io_context context(1);
  task_group group(context.get_executor());
  bool started = false;
  group.spawn(spawn_and_cancel(group, started));
  BOOST_TEST(joined(context, group) == "");
  BOOST_TEST(started);
  BOOST_TEST(group.size() == 0u);
}

BOOST_AUTO_TEST_CASE(a_member_that_never_suspends_may_cancel_its_group) {
  asio::io_context context(1);
  task_group group(context.get_executor());
  bool started = false;
  group.spawn(wait_long(started));
  group.spawn(cancel_own(group));
  BOOST_TEST(joined(context, group) == "");
  BOOST_TEST(started);
  BOOST_TEST(group.size() == 0u);
}

BOOST_AUTO_TEST_CASE(the_first_failure_is_join_s_and_a_cancellation_is_none) {
  asio::io_context context(1);
  task_group group(context.get_executor());
  bool started = false;
  group.spawn(fail());
  group.spawn(wait_long(started));
  group.spawn(cancel_own(group));
  BOOST_TEST(joined(context, group) == "trouble");
}

BOOST_AUTO_TEST_SUITE_END()
