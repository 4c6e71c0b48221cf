// What the dispatcher makes of a feed, without the kernel.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <boost/test/unit_test.hpp>

#include "supervisor/condition.hpp"
#include "supervisor/signals.hpp"
#include "supervisor/task_group.hpp"
#include "support/fake_feed.hpp"

namespace asio = boost::asio;
using asio::awaitable;
using supervisor::condition;
using supervisor::delivery;
using dispatcher = supervisor::signal_dispatcher;
using supervisor::signal_event;
using supervisor::signal_handler;
using supervisor::signal_name;
using supervisor::task_group;

namespace {

signal_event of(int number, std::uint64_t count = 1, int value = 0) {
  signal_event e;
  e.number = number;
  e.count = count;
  e.value = value;
  return e;
}

struct fixture {
  asio::io_context context;
  test::fake_feed feed;
  std::vector<std::string> told;
  std::uint64_t last_id = 0;
  std::vector<signal_event> calls;
  condition gate{context.get_executor()};
  bool open = false;
  // After the conditions: frames that still wait are destroyed with the context, which goes last.
  dispatcher signals{context.get_executor(), feed, watcher()};

  dispatcher::observer watcher() {
    dispatcher::observer o;
    o.delivered = [this](const signal_event&) { return ++last_id; };
    o.unhandled = [this](const signal_event& e) {
      told.push_back("unhandled " + signal_name(e.number));
    };
    o.failed = [this](int number, std::exception_ptr error) {
      try {
        std::rethrow_exception(error);
      } catch (const std::exception& e) {
        told.push_back(signal_name(number) + " failed: " + e.what());
      }
    };
    return o;
  }
  void send(std::vector<signal_event> events) {
    for (auto& e : events) feed.pending.push_back(e);
    if (feed.ready) feed.ready();
    poll();
  }
  void poll() {
    context.restart();
    context.poll();
  }
  void let_go() {
    open = true;
    gate.notify();
    poll();
  }
  /// Notes the call and runs until let_go().
  signal_handler slow() {
    return [this](signal_event e) -> awaitable<void> {
      calls.push_back(e);
      while (!open) co_await gate.wait();
    };
  }
  std::string called() const {
    std::string text;
    for (auto& e : calls)
      text += signal_name(e.number).substr(3) + "x" + std::to_string(e.count) + " ";
    return text;
  }
  template <typename T>
  struct result {
    std::optional<T> value;
    std::exception_ptr error;
  };
  std::shared_ptr<result<signal_event>> start_wait(std::vector<int> numbers) {
    auto r = std::make_shared<result<signal_event>>();
    asio::co_spawn(context, signals.wait(std::move(numbers)),
                   [r](std::exception_ptr error, signal_event e) {
                     r->error = error;
                     if (!error) r->value = e;
                   });
    poll();
    return r;
  }
  void close() {
    bool closed = false;
    asio::co_spawn(context, signals.close(), [&](std::exception_ptr e) { closed = !e; });
    poll();
    BOOST_TEST(closed);
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(signal_dispatcher, fixture)

BOOST_AUTO_TEST_CASE(coalesce_remembers_one_that_carries_the_count) {
  auto r = signals.on(SIGTTIN, slow());
  send({of(SIGTTIN)});
  send({of(SIGTTIN, 3)});
  send({of(SIGTTIN, 4)});
  BOOST_TEST(called() == "TTINx1 ");
  let_go();
  BOOST_TEST(called() == "TTINx1 TTINx7 ");
  BOOST_TEST(calls[1].cause == 3u);  // the journal's id of the latest
}

BOOST_AUTO_TEST_CASE(coalesce_sums_the_values_of_real_time_signals) {
  auto r = signals.on(SIGRTMIN, slow());
  send({of(SIGRTMIN, 1, 5)});
  send({of(SIGRTMIN, 1, 7), of(SIGRTMIN, 10, -100)});
  let_go();
  BOOST_TEST(calls.size() == 2u);
  BOOST_TEST(calls[1].count == 11u);
  BOOST_TEST(calls[1].value == -93);
}

BOOST_AUTO_TEST_CASE(what_the_kernel_sends_is_not_counted_with_what_a_person_sends) {
  auto r = signals.on(SIGWINCH, slow());
  auto by_kernel = of(SIGWINCH);
  by_kernel.code = SI_KERNEL;
  send({by_kernel});
  send({by_kernel, of(SIGWINCH), by_kernel, of(SIGWINCH)});
  let_go();
  BOOST_TEST(called() == "WINCHx1 WINCHx2 WINCHx2 ");
  BOOST_TEST(calls[1].code == SI_KERNEL);
  BOOST_TEST(calls[2].code != SI_KERNEL);
}

BOOST_AUTO_TEST_CASE(queue_handles_every_delivery) {
  auto r = signals.on(SIGHUP, slow(), delivery::queue);
  auto q = signals.on(SIGRTMIN, slow(), delivery::queue);
  send({of(SIGHUP, 2)});
  send({of(SIGHUP)});
  send({of(SIGRTMIN, 1, 1), of(SIGRTMIN, 1, 2)});
  BOOST_TEST(called() == "HUPx1 RTMINx1 ");
  let_go();
  BOOST_TEST(calls.size() == 5u);
  int hups = 0, values = 0;
  for (auto& e : calls) {
    BOOST_TEST(e.count == 1u);
    if (e.number == SIGHUP)
      ++hups;
    else
      values = values * 10 + e.value;
  }
  BOOST_TEST(hups == 3);
  BOOST_TEST(values == 12);
}

BOOST_AUTO_TEST_CASE(a_queue_is_bounded_and_loses_no_value) {
  auto r = signals.on(SIGRTMIN, slow(), delivery::queue);
  for (int i = 0; i < 5000; ++i) feed.pending.push_back(of(SIGRTMIN, 1, 2));
  send({});
  let_go();
  std::uint64_t count = 0;
  std::int64_t sum = 0;
  for (auto& e : calls) count += e.count, sum += e.value;
  BOOST_TEST(calls.size() < 1010u);
  BOOST_TEST(count == 5000u);
  BOOST_TEST(sum == 10000);
}

BOOST_AUTO_TEST_CASE(interrupt_cancels_the_running_handler_and_starts_anew) {
  int ended = 0, aborted = 0;
  auto handler = [&](signal_event e) -> awaitable<void> {
    calls.push_back(e);
    try {
      while (!open) co_await gate.wait();
      ++ended;
    } catch (const boost::system::system_error&) {
      ++aborted;
      throw;
    }
  };
  auto r = signals.on(SIGHUP, handler, delivery::interrupt);
  send({of(SIGHUP)});
  send({of(SIGHUP, 2)});
  send({of(SIGHUP)});
  BOOST_TEST(called() == "HUPx1 HUPx2 HUPx1 ");
  BOOST_TEST(aborted == 2);
  BOOST_TEST(ended == 0);
  let_go();
  BOOST_TEST(ended == 1);
  BOOST_TEST(told.empty());  // an interruption is no failure
}

BOOST_AUTO_TEST_CASE(stop_signals_overtake_all_others_of_a_take) {
  std::vector<dispatcher::registration> all;
  for (int n : {SIGHUP, SIGUSR1, SIGTERM, SIGINT, SIGQUIT, SIGRTMIN})
    all.push_back(signals.on(n, slow()));
  poll();  // from then on a handler is called at once
  send({of(SIGHUP), of(SIGUSR1), of(SIGRTMIN), of(SIGTERM), of(SIGINT)});
  BOOST_TEST(called() == "TERMx1 INTx1 HUPx1 USR1x1 RTMINx1 ");
  let_go();
}

BOOST_AUTO_TEST_CASE(a_handler_may_be_dropped_and_registered_again_at_any_time) {
  auto hup = signals.on(SIGHUP, slow());
  hup.reset();  // before its coroutine has begun
  hup = signals.on(SIGHUP, slow());
  send({of(SIGHUP)});
  BOOST_TEST(called() == "HUPx1 ");
  hup.reset();  // while it runs
  hup = signals.on(SIGHUP, slow());
  send({of(SIGHUP)});
  let_go();
  BOOST_TEST(called() == "HUPx1 HUPx1 ");
  hup.reset();  // while it rests
  hup = signals.on(SIGHUP, slow());
  send({of(SIGHUP, 2)});
  BOOST_TEST(called() == "HUPx1 HUPx1 HUPx2 ");
  close();
}

BOOST_AUTO_TEST_CASE(a_handler_that_runs_long_delays_no_other_signal) {
  auto r = signals.on(SIGHUP, slow());
  auto q = signals.on(SIGUSR1, slow());
  send({of(SIGHUP)});
  send({of(SIGUSR1)});
  BOOST_TEST(called() == "HUPx1 USR1x1 ");
  let_go();
}

BOOST_AUTO_TEST_CASE(what_nobody_handles_is_told_once_and_kept) {
  signals.watch(SIGUSR1);
  signals.watch(SIGUSR2);
  send({of(SIGUSR1, 2)});
  send({of(SIGUSR1), of(SIGUSR2)});
  BOOST_TEST(told == (std::vector<std::string>{"unhandled SIGUSR1", "unhandled SIGUSR2"}),
             boost::test_tools::per_element());
  auto first = start_wait({SIGUSR1});
  BOOST_REQUIRE(first->value.has_value());
  BOOST_TEST(first->value->count == 3u);
  auto r = signals.on(SIGUSR2, slow());  // takes over what was kept
  poll();
  BOOST_TEST(called() == "USR2x1 ");
  let_go();
}

BOOST_AUTO_TEST_CASE(a_waiter_takes_precedence_and_others_go_to_the_handler) {
  auto r = signals.on(SIGHUP, slow());
  auto one = start_wait({SIGUSR1, SIGHUP});
  auto two = start_wait({});
  BOOST_TEST((feed.watched == std::set<int>{SIGHUP, SIGUSR1}));
  send({of(SIGHUP)});
  BOOST_REQUIRE(one->value.has_value());
  BOOST_TEST(one->value->cause == 1u);
  BOOST_TEST(!two->value.has_value());
  send({of(SIGHUP)});
  BOOST_TEST(two->value.has_value());
  BOOST_TEST(calls.empty());
  send({of(SIGHUP)});
  BOOST_TEST(called() == "HUPx1 ");
  let_go();
}

BOOST_AUTO_TEST_CASE(a_cancelled_wait_leaves_the_signal) {
  task_group group(context.get_executor());
  bool got = false;
  auto waits = [](auto& dispatcher, bool& flag) -> awaitable<void> {
    co_await dispatcher.wait(std::vector<int>(1, SIGUSR1));
    flag = true;
  };
  group.spawn(waits(signals, got));
  poll();
  asio::post(context, [&] {
    group.cancel();                          // its abortion is on the way,
    feed.pending.push_back(of(SIGUSR1, 2));  // when the signal comes
    feed.ready();
  });
  poll();
  BOOST_TEST(!got);
  BOOST_TEST(group.size() == 0u);
  auto later = start_wait({SIGUSR1});
  BOOST_REQUIRE(later->value.has_value());
  BOOST_TEST(later->value->count == 2u);
  BOOST_TEST(last_id == 1u);  // recorded once
}

BOOST_AUTO_TEST_CASE(nothing_is_delivered_in_a_hold_and_nothing_lost) {
  auto r = signals.on(SIGHUP, slow());
  auto w = start_wait({SIGTERM});
  {
    dispatcher::hold outer(signals);
    {
      dispatcher::hold inner(signals);
      auto moved = std::move(inner);
      send({of(SIGHUP, 2), of(SIGTERM)});
    }
    poll();
    BOOST_TEST(calls.empty());
    BOOST_TEST(!w->value.has_value());
  }
  BOOST_TEST(calls.empty());  // from the loop, not from the destructor
  poll();
  BOOST_TEST(called() == "HUPx2 ");
  BOOST_TEST(w->value.has_value());
  let_go();
}

BOOST_AUTO_TEST_CASE(a_remembered_delivery_waits_for_the_end_of_a_hold) {
  auto r = signals.on(SIGHUP, slow());
  send({of(SIGHUP)});
  send({of(SIGHUP)});
  {
    dispatcher::hold critical(signals);
    let_go();
    BOOST_TEST(called() == "HUPx1 ");
  }
  poll();
  BOOST_TEST(called() == "HUPx1 HUPx1 ");
}

BOOST_AUTO_TEST_CASE(a_second_handler_replaces_the_first_until_it_is_dropped) {
  std::string who;
  auto named = [&](char c) {
    return [&who, c](signal_event) -> awaitable<void> {
      who += c;
      co_return;
    };
  };
  auto a = signals.on(SIGHUP, named('a'));
  auto b = signals.on(SIGHUP, named('b'));
  send({of(SIGHUP)});
  b.reset();
  send({of(SIGHUP)});
  BOOST_TEST(who == "ba");
  BOOST_TEST(signals.handled(SIGHUP));
  a.reset();
  BOOST_TEST(!signals.handled(SIGHUP));
  BOOST_TEST(feed.watched.empty());
  send({of(SIGHUP)});
  BOOST_TEST(who == "ba");
  BOOST_TEST(told.empty());
}

BOOST_AUTO_TEST_CASE(a_dropped_registration_lets_its_handler_end) {
  bool ended = false;
  auto state = std::make_shared<int>(1);
  auto handler = [this, &ended, state](signal_event) -> awaitable<void> {
    while (!open) co_await gate.wait();
    ended = *state == 1;
  };
  auto r = signals.on(SIGHUP, handler);
  send({of(SIGHUP)});
  r.reset();
  let_go();
  BOOST_TEST(ended);
}

BOOST_AUTO_TEST_CASE(exceptions_of_handlers_are_told_and_end_nothing) {
  auto throws = [](signal_event) -> awaitable<void> {
    throw std::runtime_error("no");
    co_return;
  };
  auto plain = [](signal_event) -> awaitable<void> { throw std::runtime_error("at once"); };
  auto r = signals.on(SIGHUP, throws);
  auto q = signals.on(SIGUSR1, plain);
  send({of(SIGHUP), of(SIGUSR1)});
  send({of(SIGHUP)});
  BOOST_TEST(told == (std::vector<std::string>{"SIGHUP failed: no", "SIGUSR1 failed: at once",
                                               "SIGHUP failed: no"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(close_waits_for_the_running_and_starts_no_other) {
  auto r = signals.on(SIGHUP, slow());
  send({of(SIGHUP)});
  send({of(SIGHUP)});
  bool closed = false;
  asio::co_spawn(context, signals.close(), [&](std::exception_ptr e) { closed = !e; });
  poll();
  BOOST_TEST(!closed);
  send({of(SIGHUP)});
  let_go();
  BOOST_TEST(closed);
  BOOST_TEST(called() == "HUPx1 ");
}

BOOST_AUTO_TEST_CASE(join_waits_for_the_remembered_too_and_goes_on) {
  auto r = signals.on(SIGHUP, slow());
  send({of(SIGHUP)});
  send({of(SIGHUP, 2)});
  bool joined = false;
  asio::co_spawn(context, signals.join(), [&](std::exception_ptr e) { joined = !e; });
  let_go();
  BOOST_TEST(joined);
  send({of(SIGHUP, 3)});
  BOOST_TEST(called() == "HUPx1 HUPx2 HUPx3 ");
}

BOOST_AUTO_TEST_CASE(a_signal_that_cannot_be_caught_is_refused) {
  BOOST_CHECK_THROW((void)signals.on(SIGKILL, slow()), boost::system::system_error);
  BOOST_TEST(!signals.handled(SIGKILL));
}

BOOST_AUTO_TEST_CASE(its_end_unwatches_everything) {
  test::fake_feed other;
  {
    dispatcher d(context.get_executor(), other);
    d.watch(SIGHUP);
    auto r = d.on(SIGUSR1, slow());
    BOOST_TEST(other.watched.size() == 2u);
  }
  BOOST_TEST(other.watched.empty());
  BOOST_TEST(!other.ready);
}

BOOST_AUTO_TEST_CASE(a_handler_that_fails_after_the_end_is_told_to_nobody) {
  std::optional<dispatcher> ending(std::in_place, context.get_executor(), feed, watcher());
  auto r = ending->on(SIGHUP, [this](signal_event) -> awaitable<void> {
    co_await gate.wait();
    throw std::runtime_error("late");
  });
  send({of(SIGHUP)});
  ending.reset();
  let_go();
  BOOST_TEST(told.empty());
}

BOOST_AUTO_TEST_CASE(a_registration_may_outlive_the_dispatcher) {
  test::fake_feed other;
  dispatcher::registration r;
  {
    dispatcher d(context.get_executor(), other);
    r = d.on(SIGUSR1, slow());
  }
  r.reset();
  BOOST_TEST(other.watched.empty());
}

BOOST_AUTO_TEST_SUITE_END()
