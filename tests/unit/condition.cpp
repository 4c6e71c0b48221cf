// condition and task_group, on a plain io_context.
#include "supervisor/condition.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>
#include <memory>
#include <stdexcept>

#include "host/waits.hpp"
#include "supervisor/task_group.hpp"

namespace asio = boost::asio;
using supervisor::task_group;

BOOST_AUTO_TEST_SUITE(condition)

namespace {

asio::awaitable<void> wait_for(supervisor::condition& changed, int& passed) {
  co_await changed.wait();
  ++passed;
}

asio::awaitable<void> fail() {
  throw std::runtime_error("broken");
  co_return;
}

asio::awaitable<void> join(task_group& group, bool& joined) {
  co_await group.join();
  joined = true;
}

}  // namespace

BOOST_AUTO_TEST_CASE(notify_wakes_all_waiters_and_is_not_remembered) {
  asio::io_context context;
  supervisor::condition changed(context.get_executor());
  task_group group(context.get_executor());
  int passed = 0;
  changed.notify();  // nobody waits: forgotten
  for (int i = 0; i < 3; ++i) group.spawn(wait_for(changed, passed));
  context.poll();
  BOOST_TEST(passed == 0);
  changed.notify();
  BOOST_TEST(passed == 0);  // from the loop, not from here
  context.restart();
  context.poll();
  BOOST_TEST(passed == 3);
  BOOST_TEST(group.size() == 0u);
}

BOOST_AUTO_TEST_CASE(cancel_ends_waiting_members_and_is_no_failure) {
  asio::io_context context;
  supervisor::condition changed(context.get_executor());
  task_group group(context.get_executor());
  int passed = 0;
  bool joined = false;
  group.spawn(wait_for(changed, passed));
  group.spawn(wait_for(changed, passed));
  context.poll();
  group.cancel();
  group.cancel();  // twice is once
  task_group outside(context.get_executor());
  outside.spawn(join(group, joined));
  context.restart();
  context.poll();
  BOOST_TEST(joined);
  BOOST_TEST(passed == 0);
  changed.notify();  // nobody is left to touch
}

BOOST_AUTO_TEST_CASE(cancel_before_the_first_step_ends_a_member) {
  asio::io_context context;
  supervisor::condition changed(context.get_executor());
  task_group group(context.get_executor());
  int passed = 0;
  group.spawn(wait_for(changed, passed));
  group.cancel();
  context.poll();
  BOOST_TEST(group.size() == 0u);
  BOOST_TEST(passed == 0);
}

BOOST_AUTO_TEST_CASE(cancel_after_notify_still_delivers_the_notification) {
  asio::io_context context;
  supervisor::condition changed(context.get_executor());
  task_group group(context.get_executor());
  int passed = 0;
  group.spawn(wait_for(changed, passed));
  context.poll();
  changed.notify();
  group.cancel();
  context.restart();
  context.poll();
  BOOST_TEST(group.size() == 0u);
  BOOST_TEST(passed <= 1);
}

BOOST_AUTO_TEST_CASE(the_first_failure_of_a_member_comes_out_of_join) {
  asio::io_context context;
  task_group group(context.get_executor());
  group.spawn(fail());
  bool joined = false;
  std::string what;
  asio::co_spawn(context, join(group, joined), [&](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const std::runtime_error& e) {
      what = e.what();
    }
  });
  context.run();
  BOOST_TEST(what == "broken");
  BOOST_TEST(!joined);
}

BOOST_AUTO_TEST_CASE(a_failed_hook_takes_failures_instead) {
  asio::io_context context;
  int failures = 0;
  task_group group(context.get_executor(), [&](std::exception_ptr) { ++failures; });
  group.spawn(fail());
  group.spawn(fail());
  bool joined = false;
  task_group outside(context.get_executor());
  outside.spawn(join(group, joined));
  context.run();
  BOOST_TEST(failures == 2);
  BOOST_TEST(joined);
}

BOOST_AUTO_TEST_CASE(a_context_destroyed_with_waiters_frees_them) {
  supervisor::condition* changed = nullptr;
  int passed = 0;
  {
    asio::io_context context;
    supervisor::condition inner(context.get_executor());
    task_group group(context.get_executor());
    changed = &inner;
    group.spawn(wait_for(*changed, passed));
    context.poll();
  }
  BOOST_TEST(passed == 0);
}

BOOST_AUTO_TEST_CASE(a_coroutine_that_holds_what_it_waits_for_ends_with_the_waits_of_its_context) {
  struct held {
    static asio::awaitable<void> wait(std::shared_ptr<int> kept) {
      supervisor::condition own(co_await asio::this_coro::executor);
      co_await own.wait();
      ++*kept;
    }
  };
  auto kept = std::make_shared<int>(0);
  {
    asio::io_context context;
    asio::co_spawn(context, held::wait(kept), [](const std::exception_ptr&) {});
    context.poll();
    BOOST_TEST(kept.use_count() > 1);
    supervisor::end_waits(context);  // frames are destroyed by way of the executor
  }
  BOOST_TEST(kept.use_count() == 1);
  BOOST_TEST(*kept == 0);
}

BOOST_AUTO_TEST_SUITE_END()
