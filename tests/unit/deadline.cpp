// with_deadline on real timers, over every way an operation can end.
#include "supervisor/deadline.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/system/system_error.hpp>
#include <boost/test/unit_test.hpp>
#include <list>
#include <memory>

#include "supervisor/condition.hpp"
#include "supervisor/errc.hpp"

namespace asio = boost::asio;
using asio::awaitable;
using boost::system::system_error;
using supervisor::with_deadline;
using namespace std::chrono_literals;

namespace {

constexpr auto ages = 1h;  // no test waits for it
constexpr auto soon = 1ms;

awaitable<void> sleep(supervisor::duration d) {
  asio::steady_timer timer(co_await asio::this_coro::executor, d);
  co_await timer.async_wait(asio::use_awaitable);
}

awaitable<std::unique_ptr<int>> answer_after(supervisor::duration d) {
  co_await sleep(d);
  co_return std::make_unique<int>(42);
}

awaitable<std::unique_ptr<int>> answer_at_once() { co_return std::make_unique<int>(42); }

awaitable<void> fail_after(supervisor::duration d) {
  co_await sleep(d);
  throw std::runtime_error("out of ideas");
}

/// Says how it was left.
struct witness {
  bool& gone;
  ~witness() { gone = true; }
};
awaitable<void> wait_for(supervisor::condition& gate, bool& gone) {
  witness w{gone};
  co_await gate.wait();
}

/// Turns its cancellation into a value.
awaitable<int> stubborn() {
  try {
    co_await sleep(ages);
  } catch (const system_error&) {
    co_return 7;
  }
  co_return 0;
}

struct fixture {
  template <typename T>
  struct result {
    std::optional<T> value;
    std::exception_ptr error;
    bool over = false;
    std::string what() const {
      try {
        if (error) std::rethrow_exception(error);
      } catch (const std::exception& e) {
        return e.what();
      }
      return {};
    }
    boost::system::error_code code() const {
      try {
        if (error) std::rethrow_exception(error);
      } catch (const system_error& e) {
        return e.code();
      } catch (...) {
      }
      return {};
    }
  };
  template <typename T>
  std::shared_ptr<result<T>> start(awaitable<T> operation) {
    auto r = std::make_shared<result<T>>();
    auto slot = cancels.emplace_back().slot();
    asio::co_spawn(context, std::move(operation),
                   asio::bind_cancellation_slot(slot, [r](std::exception_ptr e, T value) {
                     r->over = true;
                     r->error = e;
                     if (!e) r->value = std::move(value);
                   }));
    return r;
  }
  std::shared_ptr<result<int>> start(awaitable<void> operation) {
    auto with_value = [](awaitable<void> task) -> awaitable<int> {
      co_await std::move(task);
      co_return 0;
    };
    return start(with_value(std::move(operation)));
  }
  void run() {
    context.restart();
    context.run();
  }

  asio::io_context context{1};
  std::list<asio::cancellation_signal> cancels;  // one an operation
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(deadline, fixture)

BOOST_AUTO_TEST_CASE(what_ends_in_time_is_a_result) {
  auto soon_enough = start(with_deadline(answer_after(soon), ages));
  auto at_once = start(with_deadline(answer_at_once(), ages));
  run();  // and leaves no timer behind, or this would take an hour
  BOOST_TEST(**soon_enough->value == 42);
  BOOST_TEST(**at_once->value == 42);
}

BOOST_AUTO_TEST_CASE(what_does_not_is_cancelled_and_its_end_awaited) {
  supervisor::condition gate(context.get_executor());
  bool gone = false;
  auto r = start(with_deadline(wait_for(gate, gone), 2ms));
  run();
  BOOST_TEST(gone);
  BOOST_TEST((r->code() == supervisor::errc::timed_out));
  BOOST_TEST(r->what().find("after 2 ms: timed out") == 0u, r->what());
  auto with_value = start(with_deadline(answer_after(ages), soon));
  run();
  BOOST_TEST((with_value->code() == supervisor::errc::timed_out));
}

BOOST_AUTO_TEST_CASE(a_limit_of_nothing_still_lets_pass_what_needs_no_time) {
  auto at_once = start(with_deadline(answer_at_once(), 0s));
  auto slow = start(with_deadline(answer_after(ages), -1s));
  run();
  BOOST_TEST(at_once->value.has_value());
  BOOST_TEST((slow->code() == supervisor::errc::timed_out));
}

BOOST_AUTO_TEST_CASE(no_limit_is_no_deadline) {
  auto r = start(with_deadline(answer_after(soon), supervisor::duration::max()));
  run();
  BOOST_TEST(r->value.has_value());
}

BOOST_AUTO_TEST_CASE(exceptions_pass) {
  auto r = start(with_deadline(fail_after(soon), ages));
  run();
  BOOST_TEST(r->what() == "out of ideas");
}

BOOST_AUTO_TEST_CASE(a_result_that_the_cancellation_brings_is_a_result) {
  auto r = start(with_deadline(stubborn(), soon));
  run();
  BOOST_TEST(r->value.value_or(-1) == 7);
}

BOOST_AUTO_TEST_CASE(in_the_turn_of_the_deadline_the_result_wins) {
  supervisor::condition gate(context.get_executor());
  bool gone = false;
  auto r = start(with_deadline(wait_for(gate, gone), 5ms));
  context.poll();
  // The deadline comes while the loop does not look, and so does the event.
  asio::steady_timer past(context, 20ms);
  past.wait();
  gate.notify();
  run();
  BOOST_TEST(gone);
  BOOST_TEST(r->value.has_value(), r->what());
}

BOOST_AUTO_TEST_CASE(cancelling_the_caller_cancels_the_operation) {
  supervisor::condition gate(context.get_executor());
  bool gone = false;
  auto r = start(with_deadline(wait_for(gate, gone), ages));
  context.poll();
  BOOST_TEST(!r->over);
  asio::post(context, [&] { cancels.back().emit(asio::cancellation_type::terminal); });
  run();
  BOOST_TEST(gone);
  BOOST_TEST((r->code() == asio::error::operation_aborted));
}

awaitable<void> total_sleep(asio::steady_timer& timer) {
  co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
  co_await with_deadline(timer.async_wait(asio::use_awaitable), ages);
}

BOOST_AUTO_TEST_CASE(other_kinds_of_cancellation_pass_where_the_caller_lets_them) {
  asio::steady_timer timer(context, ages);
  auto r = start(total_sleep(timer));
  context.poll();
  asio::post(context, [&] { cancels.back().emit(asio::cancellation_type::total); });
  run();
  BOOST_TEST((r->code() == asio::error::operation_aborted));
}

BOOST_AUTO_TEST_CASE(the_nearer_of_two_limits_is_told) {
  auto inner = start(with_deadline(with_deadline(answer_after(ages), 1ms), ages));
  auto outer = start(with_deadline(with_deadline(answer_after(ages), ages), 2ms));
  run();
  BOOST_TEST(inner->what().find("after 1 ms") == 0u, inner->what());
  BOOST_TEST(outer->what().find("after 2 ms") == 0u, outer->what());
}

awaitable<int> use_on(int n) {
  for (int i = 0; i < n; ++i) {
    auto answer = co_await with_deadline(answer_after(0s), ages);
    if (*answer != 42) co_return -1;
    bool late = false;
    try {
      co_await with_deadline(sleep(ages), 10us);
    } catch (const system_error& error) {
      late = error.code() == supervisor::errc::timed_out;
    }
    if (!late) co_return -2;
  }
  co_return n;
}

BOOST_AUTO_TEST_CASE(a_strand_of_many_threads_will_do) {
  asio::thread_pool pool(4);
  std::vector<std::future<int>> all;
  for (int i = 0; i < 8; ++i)
    all.push_back(asio::co_spawn(asio::make_strand(pool), use_on(200), asio::use_future));
  for (auto& each : all) BOOST_TEST(each.get() == 200);
}

BOOST_AUTO_TEST_CASE(a_loop_may_go_while_one_waits) {
  bool gone = false;
  {
    asio::io_context brief(1);
    supervisor::condition gate(brief.get_executor());
    asio::co_spawn(brief, with_deadline(wait_for(gate, gone), ages), [](std::exception_ptr) {});
    brief.poll();
  }
  BOOST_TEST(gone);
}

BOOST_AUTO_TEST_SUITE_END()
