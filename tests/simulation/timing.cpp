// Deadlines and interval timers in virtual time.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <boost/test/unit_test.hpp>

#include "simulation/simulated_host.hpp"
#include "supervisor/condition.hpp"
#include "supervisor/deadline.hpp"
#include "supervisor/errc.hpp"
#include "supervisor/timers.hpp"

namespace asio = boost::asio;
using asio::awaitable;
using supervisor::interval_timer;
using supervisor::with_deadline;
using namespace std::chrono_literals;

namespace {

struct fixture {
  supervisor::simulated_host host;
  supervisor::time_point start = host.now();
  bool over = false;

  supervisor::duration passed() const { return host.now() - start; }
  void spawn(awaitable<void> task) {
    asio::co_spawn(host.executor(), std::move(task), [this](std::exception_ptr error) {
      over = true;
      BOOST_TEST(!error);
    });
  }
};

awaitable<void> wait_in_vain(supervisor::condition& gate, bool& timed_out) {
  try {
    co_await with_deadline(gate.wait(), 72h);
  } catch (const boost::system::system_error& error) {
    timed_out = error.code() == supervisor::errc::timed_out;
  }
}

awaitable<void> take(interval_timer& timer, std::vector<std::uint64_t>& ticks) {
  for (;;) {
    auto n = co_await timer.tick();
    ticks.push_back(n);
    if (n == 0) break;
  }
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(timing, fixture)

BOOST_AUTO_TEST_CASE(a_deadline_of_three_days_takes_no_time) {
  supervisor::condition gate(host);
  bool timed_out = false;
  spawn(wait_in_vain(gate, timed_out));
  BOOST_TEST(host.run_until([&] { return over; }, 100h));
  BOOST_TEST(timed_out);
  BOOST_TEST((passed() == 72h));
}

BOOST_AUTO_TEST_CASE(an_event_before_it_ends_the_waiting) {
  supervisor::condition gate(host);
  bool timed_out = false;
  spawn(wait_in_vain(gate, timed_out));
  host.run_for(71h);
  gate.notify();
  BOOST_TEST(host.run_until([&] { return over; }, 1s));
  BOOST_TEST(!timed_out);
  BOOST_TEST((passed() == 71h));
}

BOOST_AUTO_TEST_CASE(a_crash_takes_the_deadline_along) {
  supervisor::condition gate(host);
  bool timed_out = false;
  spawn(wait_in_vain(gate, timed_out));
  host.run_for(1h);
  host.crash();
  host.run_for(100h);
  BOOST_TEST(!timed_out);
  BOOST_TEST(!over);
  // And the clock is the next program's too.
  supervisor::condition other(host);
  spawn(wait_in_vain(other, timed_out));
  host.run_for(73h);
  BOOST_TEST(timed_out);
}

BOOST_AUTO_TEST_CASE(an_interval_timer_ticks_without_drift) {
  interval_timer timer(host.executor(), 1s, 10s);
  std::vector<std::uint64_t> ticks;
  spawn(take(timer, ticks));
  host.run_for(0s);
  BOOST_TEST((timer.remaining() == 1s));
  BOOST_TEST((timer.interval() == 10s));
  host.run_for(35s);
  BOOST_TEST(ticks == (std::vector<std::uint64_t>{1, 1, 1, 1}), boost::test_tools::per_element());
  BOOST_TEST((timer.remaining() == 6s));
  timer.stop();
  BOOST_TEST((timer.remaining() == 0s));
  host.run_for(0s);
  BOOST_TEST(over);
  BOOST_TEST(ticks.back() == 0u);
}

BOOST_AUTO_TEST_CASE(missed_ticks_are_counted_in_one) {
  interval_timer timer(host.executor(), 5s, 10s);
  std::vector<std::uint64_t> ticks;
  host.run_for(47s);  // nobody took those of 5, 15, 25, 35, 45 s
  BOOST_TEST((timer.remaining() == 0s));
  spawn(take(timer, ticks));
  host.run_for(0s);
  BOOST_TEST(ticks == std::vector<std::uint64_t>{5}, boost::test_tools::per_element());
  BOOST_TEST((timer.remaining() == 8s));
  host.run_for(8s);
  BOOST_TEST(ticks == (std::vector<std::uint64_t>{5, 1}), boost::test_tools::per_element());
  timer.stop();
  host.run_for(0s);
}

BOOST_AUTO_TEST_CASE(once_is_one_tick_and_then_none) {
  interval_timer timer(host.executor(), 5s);
  std::vector<std::uint64_t> ticks;
  spawn(take(timer, ticks));
  host.run_for(1h);
  BOOST_TEST(ticks == (std::vector<std::uint64_t>{1, 0}), boost::test_tools::per_element());
  BOOST_TEST(over);
  BOOST_TEST((timer.remaining() == 0s));
}

BOOST_AUTO_TEST_CASE(a_reset_moves_who_waits) {
  interval_timer timer(host.executor(), 1h);
  std::vector<std::uint64_t> ticks;
  spawn(take(timer, ticks));
  host.run_for(10min);
  timer.reset(5s, 1s);
  host.run_for(7500ms);
  BOOST_TEST(ticks == (std::vector<std::uint64_t>{1, 1, 1}), boost::test_tools::per_element());
  timer.reset(2000h);
  host.run_for(1000h);
  BOOST_TEST(ticks.size() == 3u);
  timer.stop();
  host.run_for(0s);
  BOOST_TEST(over);
}

awaitable<void> take_one_within(interval_timer& timer, bool& timed_out) {
  try {
    co_await with_deadline(timer.tick(), 4s);
  } catch (const boost::system::system_error& error) {
    timed_out = error.code() == supervisor::errc::timed_out;
  }
}

BOOST_AUTO_TEST_CASE(a_cancelled_waiter_has_taken_no_tick) {
  interval_timer timer(host.executor(), 5s, 5s);
  bool timed_out = false;
  spawn(take_one_within(timer, timed_out));
  BOOST_TEST(host.run_until([&] { return over; }));
  BOOST_TEST(timed_out);
  std::vector<std::uint64_t> ticks;
  spawn(take(timer, ticks));
  host.run_for(1s);
  BOOST_TEST(ticks == std::vector<std::uint64_t>{1}, boost::test_tools::per_element());
  timer.stop();
  host.run_for(0s);
}

BOOST_AUTO_TEST_SUITE_END()
