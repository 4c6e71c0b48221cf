// What a program may choose about its signals: restarted calls, a wakeup pipe, masks of threads,
// and what becomes of those that nobody handles.
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/test/unit_test.hpp>
#include <map>
#include <thread>

#include "kernel/descriptors.hpp"
#include "support/leftovers.hpp"
#include "support/signal_world.hpp"

namespace asio = boost::asio;
using asio::awaitable;
using dispatcher = supervisor::signal_dispatcher;
using supervisor::signal_event;
using supervisor::signal_name;
using supervisor::kernel::make_output_pipe;
using supervisor::kernel::unique_fd;
using test::disposition;
using test::forked;
using test::queue_signal;

namespace {

struct world : test::leftovers, test::signal_world {
  world() {
    int ends[2];
    BOOST_REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    read_end.reset(ends[0]);
    write_end.reset(ends[1]);
  }

  struct reading {
    ssize_t size;
    int error;
  };
  /// A blocking read in plain code, in which USR1 arrives; then a byte, if there is to be one.
  reading read_under_signal(bool with_byte) {
    forked sender([parent = ::getpid(), with_byte, to = write_end.get()] {
      if (!test::await_sleep(parent) || ::kill(parent, SIGUSR1) != 0) return 1;
      // Asleep again: in the same read, resumed.
      return !with_byte || (test::await_sleep(parent) && ::write(to, "x", 1) == 1) ? 0 : 2;
    });
    char byte = 0;
    auto size = ::read(read_end.get(), &byte, 1);
    reading result{size, size < 0 ? errno : 0};
    BOOST_TEST(sender.wait() == 0);
    return result;
  }

  unique_fd read_end, write_end;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(signal_options, world)

BOOST_AUTO_TEST_CASE(a_blocking_read_is_restarted) {
  auto r = signals.on(SIGUSR1, note());
  auto got = read_under_signal(true);
  BOOST_TEST(got.size == 1);
  run_until([&] { return calls.size() == 1; });
}

BOOST_AUTO_TEST_CASE(a_blocking_read_is_interrupted_where_that_is_wanted) {
  auto r = signals.on(SIGUSR1, note());
  signals.restarts(SIGUSR1, false);
  auto got = read_under_signal(false);
  BOOST_TEST(got.size == -1);
  BOOST_TEST(got.error == EINTR);
  run_until([&] { return calls.size() == 1; });

  signals.restarts(SIGUSR1, true);
  BOOST_TEST(read_under_signal(true).size == 1);
  run_until([&] { return calls.size() == 2; });
}

BOOST_AUTO_TEST_CASE(the_choice_is_one_signals_own_and_outlives_its_handler) {
  auto restarts = [](int number) { return (disposition(number).sa_flags & SA_RESTART) != 0; };
  signals.restarts(SIGUSR1, false);
  auto first = signals.on(SIGUSR1, note());
  auto other = signals.on(SIGUSR2, note());
  BOOST_TEST(!restarts(SIGUSR1));
  BOOST_TEST(restarts(SIGUSR2));
  first.reset();
  BOOST_TEST((disposition(SIGUSR1).sa_handler == SIG_DFL));
  auto again = signals.on(SIGUSR1, note());
  BOOST_TEST(!restarts(SIGUSR1));
  ::raise(SIGUSR1);
  run_until([&] { return calls.size() == 1; });
}

BOOST_AUTO_TEST_CASE(a_loop_that_is_not_asios_polls_the_wakeup_descriptor) {
  auto early = signals.on(SIGUSR1, note());
  pollfd wakeup{signals.wakeup_descriptor(), POLLIN, 0};
  BOOST_TEST(wakeup.fd == signals.wakeup_descriptor());
  BOOST_TEST((::fcntl(wakeup.fd, F_GETFD) & FD_CLOEXEC) != 0);
  auto late = signals.on(SIGUSR2, note());
  auto real_time = signals.on(SIGRTMIN + 3, note());
  BOOST_TEST(::poll(&wakeup, 1, 0) == 0);

  forked sender([parent = ::getpid()] {
    return ::kill(parent, SIGUSR1) | ::kill(parent, SIGUSR2) |
           queue_signal(parent, SIGRTMIN + 3, 7) | queue_signal(parent, SIGRTMIN + 3, 8);
  });
  std::map<int, int> bytes;
  while (handled < 4) {
    int ready = ::poll(&wakeup, 1, 20'000);
    if (ready < 0 && errno == EINTR) continue;
    BOOST_REQUIRE(ready == 1);
    unsigned char numbers[64];
    auto size = ::read(wakeup.fd, numbers, sizeof numbers);
    BOOST_REQUIRE(size > 0);
    for (ssize_t i = 0; i < size; ++i) ++bytes[numbers[i]];
    poll();
  }
  BOOST_TEST(sender.wait() == 0);
  const std::map<int, int> wanted{{SIGUSR1, 1}, {SIGUSR2, 1}, {SIGRTMIN + 3, 2}};
  BOOST_TEST((bytes == wanted));
  BOOST_TEST(sum(SIGRTMIN + 3) == 15);
  BOOST_TEST(signals.wakeups_lost() == 0u);

  // Dropped, a signal writes no more.
  early.reset();
  ::signal(SIGUSR1, SIG_IGN);
  ::raise(SIGUSR1);
  ::signal(SIGUSR1, SIG_DFL);
  BOOST_TEST(::poll(&wakeup, 1, 0) == 0);
}

BOOST_AUTO_TEST_CASE(a_full_wakeup_pipe_is_counted_and_loses_no_signal) {
  auto r = signals.on(SIGUSR1, note());
  BOOST_REQUIRE(::fcntl(signals.wakeup_descriptor(), F_SETPIPE_SZ, 4096) == 4096);
  for (int i = 0; i < 5000; ++i) {
    errno = 1234;
    ::raise(SIGUSR1);
    if (errno != 1234) BOOST_FAIL("errno is " << errno);
  }
  BOOST_TEST(signals.wakeups_lost() == 5000u - 4096u);
  run_until([&] { return count(SIGUSR1) == 5000; });
  r.reset();
  BOOST_TEST(signals.wakeups_lost() == 5000u - 4096u);
}

BOOST_AUTO_TEST_CASE(threads_made_under_blocked_signals_never_take_one) {
  constexpr int total = 10'000, readers = 4;
  auto shower = signals.on(SIGRTMIN + 4, note());
  signals.restarts(SIGRTMIN + 4, false);
  std::vector<int> errors(readers, -1);
  std::vector<pid_t> ids(readers);
  std::vector<std::thread> threads;
  {
    supervisor::signals_blocked while_they_are_made;
    for (std::size_t i = 0; i < readers; ++i)
      threads.emplace_back([&, i] {
        __atomic_store_n(&ids[i], ::gettid(), __ATOMIC_RELEASE);
        char byte;
        errors[i] = ::read(read_end.get(), &byte, 1) == 1 ? 0 : errno;
      });
  }
  for (auto& id : ids) {
    pid_t known = 0;
    while ((known = __atomic_load_n(&id, __ATOMIC_ACQUIRE)) == 0) std::this_thread::yield();
    BOOST_TEST(test::await_sleep(known));
  }
  forked sender([parent = ::getpid()] {
    for (int i = 0; i < total; ++i)
      while (queue_signal(parent, SIGRTMIN + 4, 1) != 0)
        if (errno != EAGAIN) return 1;
    return 0;
  });
  run_until([&] { return handled == total; });
  BOOST_TEST(sender.wait() == 0);
  BOOST_TEST(sum(SIGRTMIN + 4) == total);
  BOOST_TEST(::write(write_end.get(), "four", readers) == readers);
  for (auto& thread : threads) thread.join();
  for (int error : errors) BOOST_TEST(error == 0);
}

BOOST_AUTO_TEST_CASE(blocked_signals_leave_faults_and_come_back_as_they_were) {
  sigset_t before, within, after;
  ::pthread_sigmask(SIG_BLOCK, nullptr, &before);
  {
    supervisor::signals_blocked all;
    ::pthread_sigmask(SIG_BLOCK, nullptr, &within);
  }
  ::pthread_sigmask(SIG_BLOCK, nullptr, &after);
  for (int number = 1; number <= SIGRTMAX; ++number) {
    if (number == SIGKILL || number == SIGSTOP || (number >= 32 && number < SIGRTMIN)) continue;
    bool fault = number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL ||
                 number == SIGTRAP || number == SIGSYS;
    BOOST_TEST(::sigismember(&within, number) == !fault, signal_name(number));
    BOOST_TEST(::sigismember(&after, number) == ::sigismember(&before, number));
  }
}

BOOST_AUTO_TEST_CASE(another_thread_registers_through_the_executor) {
  dispatcher::registration r;
  auto enlist = [&] { r = signals.on(SIGUSR1, note()); };
  std::thread other([&] { asio::post(context, enlist); });
  other.join();
  run_until([&] { return signals.handled(SIGUSR1); });
  ::raise(SIGUSR1);
  run_until([&] { return calls.size() == 1; });
}

#ifndef NDEBUG
BOOST_AUTO_TEST_CASE(registering_from_another_thread_directly_is_loud) {
  forked careless([this] {
    rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::close(STDERR_FILENO);
    std::thread([this] { auto r = signals.on(SIGUSR1, note()); }).join();
    return 0;
  });
  BOOST_TEST(careless.wait() == -SIGABRT);
}
#endif

BOOST_AUTO_TEST_CASE(what_nobody_takes_falls_back_and_is_kept_again_once_somebody_waits) {
  std::vector<std::string> fallen;
  signals.otherwise(SIGINT,
                    [&](const signal_event& e) { fallen.push_back(signal_name(e.number)); });
  BOOST_TEST(signals.falls_back(SIGINT));
  BOOST_TEST(!signals.handled(SIGINT));
  ::raise(SIGINT);
  run_until([&] { return fallen.size() == 1; });

  auto handler = signals.on(SIGINT, note());
  ::raise(SIGINT);
  run_until([&] { return calls.size() == 1; });
  handler.reset();
  ::raise(SIGINT);
  run_until([&] { return fallen.size() == 2; });

  auto waiting = signals.wait(supervisor::trap_signals());  // claimed by the call
  BOOST_TEST(!signals.falls_back(SIGINT));
  ::raise(SIGINT);
  poll();
  std::optional<signal_event> got;
  asio::co_spawn(context, std::move(waiting), [&](std::exception_ptr, signal_event e) { got = e; });
  run_until([&] { return got.has_value(); });
  BOOST_TEST(got->number == SIGINT);
  BOOST_TEST(fallen.size() == 2u);

  ::raise(SIGINT);  // kept between two waits, until the claim ends
  poll();
  BOOST_TEST(fallen.size() == 2u);
  signals.otherwise(SIGINT, [&](const signal_event&) { fallen.push_back("later"); });
  run_until([&] { return fallen.size() == 3; });
  BOOST_TEST(fallen.back() == "later");
}

BOOST_AUTO_TEST_CASE(holds_nest_across_awaits) {
  auto r = signals.on(SIGUSR1, note());
  bool inner_ended = false, over = false;
  auto critical = [&]() -> awaitable<void> {
    dispatcher::hold outer(signals);
    {
      dispatcher::hold inner(signals);
      ::raise(SIGUSR1);
      co_await gate.wait();
    }
    inner_ended = true;
    ::raise(SIGUSR1);
    co_await gate.wait();
    over = true;
  };
  asio::co_spawn(context, critical(), [](std::exception_ptr error) { BOOST_TEST(!error); });
  poll();
  gate.notify();
  run_until([&] { return inner_ended; });
  poll();
  BOOST_TEST(calls.empty());
  gate.notify();
  run_until([&] { return over && count(SIGUSR1) == 2; });
}

BOOST_AUTO_TEST_SUITE_END()
