// Timers by the kernel's clocks: real time, and the CPU time of this process.
#include "supervisor/timers.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/system/system_error.hpp>
#include <boost/test/unit_test.hpp>

#include "support/signal_world.hpp"

using boost::asio::awaitable;
using supervisor::cpu_time;
using supervisor::cpu_timer;
using namespace std::chrono_literals;

namespace {

/// Burns CPU until `done`, which the loop is asked for in between.
template <typename Done>
void burn(test::signal_world& world, Done done) {
  auto deadline = std::chrono::steady_clock::now() + 20s;
  volatile unsigned spent = 0;
  while (!done()) {
    BOOST_REQUIRE(std::chrono::steady_clock::now() < deadline);
    for (int i = 0; i < 100'000; ++i) spent = spent + 1;
    world.poll();
  }
}

itimerval present(int kind) {
  itimerval now{};
  BOOST_TEST(::getitimer(kind, &now) == 0);
  return now;
}

awaitable<void> take(supervisor::interval_timer& timer, std::uint64_t& ticks, std::uint64_t most) {
  while (ticks < most) {
    auto n = co_await timer.tick();
    ticks += n;
  }
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(timers, test::signal_world)

BOOST_AUTO_TEST_CASE(an_interval_timer_ticks_by_the_monotonic_clock) {
  auto start = std::chrono::steady_clock::now();
  supervisor::interval_timer timer(context.get_executor(), 1ms, 2ms);
  std::uint64_t ticks = 0;
  boost::asio::co_spawn(context, take(timer, ticks, 20),
                        [](std::exception_ptr e) { BOOST_TEST(!e); });
  run_until([&] { return ticks >= 20; });
  auto passed = std::chrono::steady_clock::now() - start;
  // The twentieth is due after 1 + 19 * 2 ms, and none comes early.
  BOOST_TEST((passed >= 39ms));
  BOOST_TEST((timer.remaining() <= 2ms));
}

BOOST_AUTO_TEST_CASE(cpu_timers_fire_through_the_dispatcher) {
  auto virtual_handler = signals.on(SIGVTALRM, note());
  auto profiling_handler = signals.on(SIGPROF, note());
  cpu_timer user(signals, cpu_time::user, 5ms, 5ms);
  cpu_timer total(signals, cpu_time::total, 5ms, 5ms);
  BOOST_TEST(user.signal() == SIGVTALRM);
  BOOST_TEST(total.signal() == SIGPROF);
  BOOST_TEST((user.interval() == 5ms));
  BOOST_TEST((user.remaining() > 0ms));
  burn(*this, [&] { return count(SIGVTALRM) >= 3 && count(SIGPROF) >= 3; });
}

BOOST_AUTO_TEST_CASE(once_fires_once) {
  auto handler = signals.on(SIGPROF, note());
  cpu_timer once(signals, cpu_time::total, 2ms);
  burn(*this, [&] { return count(SIGPROF) >= 1; });
  BOOST_TEST((once.remaining() == 0ms));
  BOOST_TEST((once.interval() == 0ms));
}

BOOST_AUTO_TEST_CASE(its_end_disarms_and_restores_what_was_set) {
  signals.watch(SIGPROF);
  itimerval before{{0, 0}, {1000, 0}};
  BOOST_REQUIRE(::setitimer(ITIMER_PROF, &before, nullptr) == 0);
  {
    cpu_timer mine(signals, cpu_time::total, 2000s, 1s);
    BOOST_TEST((mine.remaining() > 1500s));
    BOOST_TEST((mine.interval() == 1s));
    cpu_timer virtual_too(signals, cpu_time::user, 2000s);
  }
  auto after = present(ITIMER_PROF);
  BOOST_TEST(after.it_value.tv_sec <= 1000);
  BOOST_TEST(after.it_value.tv_sec >= 990);
  BOOST_TEST(after.it_interval.tv_sec == 0);
  itimerval none{};
  ::setitimer(ITIMER_PROF, &none, nullptr);
  auto other = present(ITIMER_VIRTUAL);
  BOOST_TEST(other.it_value.tv_sec == 0);
  BOOST_TEST(other.it_value.tv_usec == 0);
}

BOOST_AUTO_TEST_CASE(nobody_has_to_handle_its_signal_first) {
  cpu_timer unheard(signals, cpu_time::user, 1ms);
  burn(*this, [&] { return !told.empty(); });  // the default action would have ended us
  BOOST_TEST(told.front() == "SIGVTALRM");
}

BOOST_AUTO_TEST_CASE(what_cannot_be_is_refused) {
  BOOST_CHECK_THROW(cpu_timer(signals, cpu_time::user, 0s, 1s), std::invalid_argument);
  BOOST_CHECK_THROW(cpu_timer(signals, cpu_time::user, -1s), boost::system::system_error);
}

BOOST_AUTO_TEST_SUITE_END()
