// The dispatcher on the kernel's own signals, sent by other processes.
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/system/system_error.hpp>
#include <boost/test/unit_test.hpp>
#include <fstream>

#include "supervisor/signals.hpp"
#include "support/signal_world.hpp"

namespace asio = boost::asio;
using asio::awaitable;
using supervisor::delivery;
using dispatcher = supervisor::signal_dispatcher;
using supervisor::signal_event;
using supervisor::signal_name;
using test::disposition;
using test::forked;
using test::queue_signal;

namespace {

/// Signals of this process that are blocked somewhere and wait in the kernel.
std::string pending_in_kernel() {
  std::ifstream status("/proc/self/status");
  std::string line, found;
  while (std::getline(status, line))
    if (line.starts_with("SigPnd:") || line.starts_with("ShdPnd:")) found += line.substr(8) + ' ';
  return found;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(signals, test::signal_world)

BOOST_AUTO_TEST_CASE(a_thousand_from_another_process_lose_only_what_the_kernel_merges) {
  auto r = signals.on(SIGTTIN, note());
  auto end = signals.on(SIGUSR2, note());
  forked sender([parent = ::getpid()] {
    for (int i = 0; i < 1000; ++i)
      if (::kill(parent, SIGTTIN) != 0) return 1;
    return ::kill(parent, SIGUSR2);
  });
  run_until([&] { return count(SIGUSR2) > 0; });
  auto pid = sender.pid();
  BOOST_TEST(sender.wait() == 0);
  poll();
  BOOST_TEST(count(SIGTTIN) >= 1u);
  BOOST_TEST(count(SIGTTIN) <= 1000u);
  BOOST_TEST(pending_in_kernel() == "0000000000000000 0000000000000000 ");
  BOOST_TEST(feed->take().empty());
  for (auto& e : calls) BOOST_TEST(e.sender == pid);
}

BOOST_AUTO_TEST_CASE(a_thousand_that_the_kernel_cannot_merge_are_exactly_a_thousand) {
  auto r = signals.on(SIGTTIN, note());
  int got[2];
  BOOST_REQUIRE(::pipe2(got, O_CLOEXEC) == 0);
  // Each is sent when the one before has been handled by the process.
  forked sender([parent = ::getpid(), got] {
    ::close(got[1]);
    char byte;
    for (int i = 0; i < 1000; ++i)
      if (::kill(parent, SIGTTIN) != 0 || ::read(got[0], &byte, 1) != 1) return 1;
    return 0;
  });
  std::uint64_t acknowledged = 0;
  run_until([&] {
    for (; acknowledged < count(SIGTTIN); ++acknowledged)
      if (::write(got[1], "", 1) != 1) return true;
    return acknowledged >= 1000;
  });
  BOOST_TEST(sender.wait() == 0);
  poll();
  BOOST_TEST(count(SIGTTIN) == 1000u);
  ::close(got[0]);
  ::close(got[1]);
}

BOOST_AUTO_TEST_CASE(counts_are_exact_beyond_what_asios_pipe_holds) {
  auto r = signals.on(SIGTTIN, note());
  for (int i = 0; i < 40'000; ++i) ::raise(SIGTTIN);
  run_until([&] { return count(SIGTTIN) == 40'000; });
  poll();
  BOOST_TEST(count(SIGTTIN) == 40'000u);
  BOOST_TEST(calls.size() == 1u);  // one burst, one call
}

BOOST_AUTO_TEST_CASE(twenty_by_sigqueue_are_exactly_twenty_with_their_values) {
  auto r = signals.on(SIGRTMIN, note(), delivery::queue);
  forked sender([parent = ::getpid()] {
    for (int i = 1; i <= 20; ++i)
      if (queue_signal(parent, SIGRTMIN, i) != 0) return 1;
    return 0;
  });
  run_until([&] { return count(SIGRTMIN) == 20; });
  auto pid = sender.pid();
  BOOST_TEST(sender.wait() == 0);
  poll();
  BOOST_TEST(calls.size() == 20u);
  for (int i = 0; i < 20; ++i) {
    auto& e = calls[static_cast<std::size_t>(i)];
    BOOST_TEST(e.value == i + 1);
    BOOST_TEST(e.code == SI_QUEUE);
    BOOST_TEST(e.sender == pid);
    BOOST_TEST(e.uid == ::getuid());
  }
}

BOOST_AUTO_TEST_CASE(values_sum_up_beyond_the_ring_too) {
  auto r = signals.on(SIGRTMIN + 1, note());
  for (int i = 0; i < 5000; ++i) BOOST_REQUIRE(queue_signal(::getpid(), SIGRTMIN + 1, -3) == 0);
  run_until([&] { return count(SIGRTMIN + 1) == 5000; });
  poll();
  BOOST_TEST(count(SIGRTMIN + 1) == 5000u);
  BOOST_TEST(sum(SIGRTMIN + 1) == -15'000);
}

BOOST_AUTO_TEST_CASE(term_is_served_while_twenty_thousand_others_are_pending) {
  auto counted = signals.on(SIGRTMIN, note(), delivery::queue);
  auto added = signals.on(SIGTTIN, note(), delivery::queue);
  auto stop = signals.on(SIGTERM, note());
  forked sender([parent = ::getpid()] {
    for (int i = 0; i < 10'000; ++i)
      // EAGAIN is the limit of queued signals of the sender's user (RLIMIT_SIGPENDING).
      while (queue_signal(parent, SIGRTMIN, 1) != 0)
        if (errno != EAGAIN) return 1;
    return 0;
  });
  BOOST_TEST(sender.wait() == 0);
  for (int i = 0; i < 10'000; ++i) ::raise(SIGTTIN);
  ::raise(SIGTERM);
  run_until([&] { return !calls.empty(); });
  BOOST_TEST(signal_name(calls.front().number) == "SIGTERM");
  run_until([&] { return handled == 20'001; });
  BOOST_TEST(count(SIGTERM) == 1u);
  BOOST_TEST(count(SIGTTIN) == 10'000u);
  BOOST_TEST(sum(SIGRTMIN) == 10'000);
}

BOOST_AUTO_TEST_CASE(a_signal_in_a_hold_arrives_once_it_ends) {
  auto r = signals.on(SIGHUP, note());
  {
    dispatcher::hold critical(signals);
    forked sender([parent = ::getpid()] { return ::kill(parent, SIGHUP); });
    BOOST_TEST(sender.wait() == 0);
    ::raise(SIGHUP);
    poll();
    BOOST_TEST(calls.empty());
  }
  run_until([&] { return count(SIGHUP) == 2; });
}

BOOST_AUTO_TEST_CASE(a_handler_that_runs_long_does_not_delay_int) {
  auto hup = signals.on(SIGHUP, slow());
  auto interrupt = signals.on(SIGINT, note());
  ::raise(SIGHUP);
  run_until([&] { return count(SIGHUP) == 1; });
  forked sender([parent = ::getpid()] { return ::kill(parent, SIGINT); });
  run_until([&] { return count(SIGINT) == 1; });
  BOOST_TEST(!open);
  open = true;
  gate.notify();
  poll();
}

BOOST_AUTO_TEST_CASE(a_caught_signal_that_nobody_handles_is_told_once) {
  signals.watch(SIGUSR1);
  ::raise(SIGUSR1);
  run_until([&] { return !told.empty(); });
  ::raise(SIGUSR1);
  poll();
  BOOST_TEST(told == std::vector<std::string>(1, "SIGUSR1"), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(wait_tells_the_sender_and_the_value) {
  std::optional<signal_event> got;
  std::vector<int> numbers{SIGUSR1, SIGRTMIN + 2};
  asio::co_spawn(context, signals.wait(numbers), [&](std::exception_ptr error, signal_event e) {
    BOOST_TEST(!error);
    got = e;
  });
  forked sender([parent = ::getpid()] { return queue_signal(parent, SIGRTMIN + 2, 42); });
  run_until([&] { return got.has_value(); });
  BOOST_TEST(got->number == SIGRTMIN + 2);
  BOOST_TEST(got->value == 42);
  BOOST_TEST(got->sender == sender.pid());
  BOOST_TEST(got->code == SI_QUEUE);
}

BOOST_AUTO_TEST_CASE(interrupt_cancels_and_starts_anew) {
  auto r = signals.on(SIGHUP, slow(), delivery::interrupt);
  ::raise(SIGHUP);
  run_until([&] { return calls.size() == 1; });
  ::raise(SIGHUP);
  run_until([&] { return calls.size() == 2; });
  open = true;
  gate.notify();
  poll();
  BOOST_TEST(calls.size() == 2u);
}

BOOST_AUTO_TEST_CASE(queue_handles_each) {
  auto r = signals.on(SIGHUP, slow(), delivery::queue);
  for (int i = 0; i < 5; ++i) ::raise(SIGHUP);
  run_until([&] { return calls.size() == 1; });
  open = true;
  gate.notify();
  run_until([&] { return calls.size() == 5; });
  poll();
  BOOST_TEST(count(SIGHUP) == 5u);
}

BOOST_AUTO_TEST_CASE(dropping_the_handler_restores_what_was_there) {
  static volatile sig_atomic_t seen = 0;
  struct sigaction user{}, ignore{};
  user.sa_handler = [](int) { seen = seen + 1; };
  user.sa_flags = SA_NODEFER;
  ignore.sa_handler = SIG_IGN;
  struct sigaction usr1 = disposition(SIGUSR1), usr2 = disposition(SIGUSR2);
  ::sigaction(SIGUSR1, &user, nullptr);
  ::sigaction(SIGUSR2, &ignore, nullptr);
  {
    auto one = signals.on(SIGUSR1, note());
    auto two = signals.on(SIGUSR2, note());
    auto three = signals.on(SIGHUP, note());
    ::raise(SIGUSR1);
    ::raise(SIGUSR2);
    run_until([&] { return calls.size() == 2; });
    BOOST_TEST(seen == 0);
  }
  BOOST_TEST(disposition(SIGUSR1).sa_handler == user.sa_handler);
  BOOST_TEST((disposition(SIGUSR1).sa_flags & SA_NODEFER) != 0);
  BOOST_TEST(disposition(SIGUSR2).sa_handler == SIG_IGN);
  BOOST_TEST(disposition(SIGHUP).sa_handler == SIG_DFL);
  ::raise(SIGUSR1);
  ::raise(SIGUSR2);
  BOOST_TEST(seen == 1);
  poll();
  BOOST_TEST(calls.size() == 2u);
  auto again = signals.on(SIGUSR2, note());  // and from there anew
  ::raise(SIGUSR2);
  run_until([&] { return calls.size() == 3; });
  again.reset();
  ::sigaction(SIGUSR1, &usr1, nullptr);
  ::sigaction(SIGUSR2, &usr2, nullptr);
}

BOOST_AUTO_TEST_CASE(another_signal_set_of_the_program_goes_on_working) {
  asio::signal_set other(context, SIGUSR1);
  auto r = signals.on(SIGUSR1, note());
  int others = 0;
  auto counts = [&](boost::system::error_code error, int) { others += !error; };
  other.async_wait(counts);
  ::raise(SIGUSR1);
  run_until([&] { return calls.size() == 1 && others == 1; });
  r.reset();
  other.async_wait(counts);
  ::raise(SIGUSR1);
  run_until([&] { return others == 2; });
  BOOST_TEST(calls.size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_set_that_came_after_us_goes_on_working_too) {
  auto r = signals.on(SIGUSR1, note());
  asio::signal_set other(context, SIGUSR1);
  r.reset();
  int others = 0;
  other.async_wait([&](boost::system::error_code error, int) { others += !error; });
  ::raise(SIGUSR1);
  run_until([&] { return others == 1; });
}

BOOST_AUTO_TEST_CASE(a_signal_belongs_to_one_feed) {
  auto r = signals.on(SIGUSR1, note());
  auto second = supervisor::kernel_signals(context.get_executor());
  BOOST_CHECK_EXCEPTION(second->watch(SIGUSR1), boost::system::system_error,
                        [](auto& e) { return e.code().value() == EBUSY; });
  BOOST_CHECK_THROW(second->watch(SIGKILL), boost::system::system_error);
  BOOST_CHECK_THROW(second->watch(9999), boost::system::system_error);
  second->watch(SIGUSR2);
  ::raise(SIGUSR1);
  ::raise(SIGUSR2);
  run_until([&] { return calls.size() == 1; });
  BOOST_TEST(second->take().size() == 1u);
  second.reset();
  BOOST_TEST(disposition(SIGUSR2).sa_handler == SIG_DFL);
  ::raise(SIGUSR1);
  run_until([&] { return calls.size() == 2; });
}

BOOST_AUTO_TEST_CASE(a_loop_whose_signals_are_dropped_can_end) {
  auto r = signals.on(SIGUSR1, note());
  r.reset();
  context.restart();
  context.run();  // returns
  BOOST_TEST(context.stopped());
}

BOOST_AUTO_TEST_SUITE_END()
