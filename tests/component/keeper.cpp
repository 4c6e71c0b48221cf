// The keeper with real processes: what it hands on, and what it leaves behind.
#include "keeper/keeper.hpp"

#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <functional>
#include <string>

#include "kernel/descent.hpp"
#include "kernel/pidfd.hpp"
#include "kernel/signal_relay.hpp"
#include "support/leftovers.hpp"
#include "support/pty.hpp"

using namespace supervisor;

namespace {

/// A program that is kept: `master` runs in the process that its keeper makes.
class kept {
 public:
  explicit kept(const std::function<int()>& master, const test::pty* terminal = nullptr) {
    kernel::adopt_orphans();
    int ends[2];
    BOOST_REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    words_.reset(ends[0]);
    kernel::unique_fd theirs(ends[1]);
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::alarm(60);
    words_.reset();
    if (terminal && !terminal->become_controlling()) ::_exit(98);
    char name[] = "kept-program";
    char* argv[] = {name, nullptr};
    auto code = become_keeper(1, argv);
    if (code) ::_exit(*code);
    auto link = take_keeper_link();
    if (!link || link->pid != ::getppid()) ::_exit(99);
    ::alarm(60);
    ::dup2(theirs.get(), STDOUT_FILENO);
    theirs.reset();
    ::_exit(master());
  }
  ~kept() {
    if (pid_ > 0) signal(SIGKILL), finish();
    // What is left of it is ours by now.
    do
      for (pid_t left : kernel::children_of(::getpid())) ::kill(left, SIGKILL);
    while (::waitpid(-1, nullptr, __WALL) > 0);
  }
  kept(const kept&) = delete;

  pid_t pid() const noexcept { return pid_; }
  void signal(int number) const { BOOST_TEST(::kill(pid_, number) == 0); }
  /// The next line that the master says; empty when there is none any more.
  std::string line() {
    std::string text;
    for (char c; ::read(words_.get(), &c, 1) == 1 && c != '\n';) text += c;
    return text;
  }
  pid_t number() {
    auto text = line();
    BOOST_REQUIRE(!text.empty() && text.find_first_not_of("0123456789") == text.npos);
    return std::stoi(text);
  }
  /// The exit code; -signal where one killed it.
  int finish() {
    int status = 0;
    BOOST_REQUIRE(::waitpid(std::exchange(pid_, -1), &status, 0) > 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  pid_t pid_ = -1;
  kernel::unique_fd words_;
};

void say(const std::string& words) {
  auto line = words + '\n';
  if (::write(STDOUT_FILENO, line.data(), line.size()) < 0) ::_exit(97);
}

/// Waits for one of these, and says where it came from.
int tell_next(std::initializer_list<int> numbers) {
  sigset_t some;
  sigemptyset(&some);
  for (int number : numbers) sigaddset(&some, number);
  sigprocmask(SIG_BLOCK, &some, nullptr);
  say("waiting");
  siginfo_t info;
  int number;
  do number = ::sigwaitinfo(&some, &info);
  while (number < 0 && errno == EINTR);  // stopped and continued, signal(7)
  kernel::restore_origin(info);
  say(std::to_string(number) + " code " + std::to_string(info.si_code) + " from " +
      std::to_string(info.si_code == SI_KERNEL ? 0 : info.si_pid) + " value " +
      std::to_string(info.si_code == SI_QUEUE ? info.si_value.sival_int : 0));
  return 0;
}

/// A process in a session of its own, whose parent is gone: nothing but descent leads to it.
pid_t make_daemon() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) ::_exit(96);
  auto first = ::fork();
  if (first == 0) {
    ::setsid();
    auto second = ::fork();
    if (second != 0) ::_exit(::write(ends[1], &second, sizeof second) < 0);
    for (;;) ::pause();
  }
  pid_t pid = 0;
  if (::read(ends[0], &pid, sizeof pid) != sizeof pid) ::_exit(95);
  ::waitpid(first, nullptr, 0);
  ::close(ends[0]);
  ::close(ends[1]);
  return pid;
}

/// Of a child of ours.
bool stops(pid_t pid) {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(pid), &info, WSTOPPED | WEXITED | WNOWAIT) == 0 &&
         info.si_code == CLD_STOPPED;
}

char state_of(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(stat, text);
  return text.empty() ? '-' : text[text.rfind(')') + 2];
}

/// A signal is sent before it acts, and no event tells of a stop but to the parent.
bool stops_below(pid_t pid) {
  char state;
  while ((state = state_of(pid)) != 'T')
    if (state == '-' || state == 'Z')
      return false;
    else
      ::sched_yield();
  return true;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(keeper, test::leftovers)

BOOST_AUTO_TEST_CASE(the_masters_exit_code_is_the_keepers) {
  kept app([] { return 42; });
  BOOST_TEST(app.finish() == 42);
}

BOOST_AUTO_TEST_CASE(the_signal_that_ends_the_master_ends_the_keeper) {
  for (int number : {SIGKILL, SIGSEGV, SIGTERM, SIGALRM}) {
    kept app([number] {
      kernel::end_by_signal(number);
      return 0;
    });
    BOOST_TEST(app.finish() == -number);
  }
}

BOOST_AUTO_TEST_CASE(a_signal_that_the_master_does_not_catch_ends_both) {
  kept app([] {
    say("there");
    for (;;) ::pause();
    return 0;
  });
  BOOST_TEST(app.line() == "there");
  app.signal(SIGUSR2);
  BOOST_TEST(app.finish() == -SIGUSR2);
}

BOOST_AUTO_TEST_CASE(signals_come_with_their_sender_and_value) {
  auto me = std::to_string(::getpid());
  {
    kept app([] { return tell_next({SIGHUP}); });
    BOOST_TEST(app.line() == "waiting");
    app.signal(SIGHUP);
    BOOST_TEST(app.line() == "1 code " + std::to_string(SI_USER) + " from " + me + " value 0");
    BOOST_TEST(app.finish() == 0);
  }
  kept app([] { return tell_next({SIGRTMIN + 1}); });
  BOOST_TEST(app.line() == "waiting");
  sigval value{};
  value.sival_int = -7;
  BOOST_TEST(::sigqueue(app.pid(), SIGRTMIN + 1, value) == 0);
  BOOST_TEST(app.line() == std::to_string(SIGRTMIN + 1) + " code " + std::to_string(SI_QUEUE) +
                               " from " + me + " value -7");
  BOOST_TEST(app.finish() == 0);
}

BOOST_AUTO_TEST_CASE(signals_that_the_kernel_has_no_room_for_come_when_it_has) {
  auto queue = [](pid_t pid, int number) {
    sigval value{};
    value.sival_int = number;
    return ::sigqueue(pid, SIGRTMIN, value);
  };
  kept app([] {
    rlimit before;
    ::getrlimit(RLIMIT_SIGPENDING, &before);  // the receiver's, for all that its user has queued
    rlimit none{0, before.rlim_max};
    ::setrlimit(RLIMIT_SIGPENDING, &none);
    sigset_t some;
    sigemptyset(&some);
    sigaddset(&some, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &some, nullptr);
    tell_next({SIGTERM});
    sigpending(&some);
    say(sigismember(&some, SIGRTMIN) ? "room" : "no room");
    ::setrlimit(RLIMIT_SIGPENDING, &before);
    tell_next({SIGRTMIN});
    return tell_next({SIGRTMIN});
  });
  BOOST_TEST(app.line() == "waiting");
  BOOST_TEST(queue(app.pid(), 1) == 0);
  BOOST_TEST(queue(app.pid(), 2) == 0);
  app.signal(SIGTERM);
  BOOST_TEST(app.line().starts_with("15 code 0"));
  BOOST_TEST(app.line() == "no room");
  for (auto value : {"value 1", "value 2"}) {
    BOOST_TEST(app.line() == "waiting");
    BOOST_TEST(app.line().ends_with(value));
  }
  BOOST_TEST(app.finish() == 0);
}

BOOST_AUTO_TEST_CASE(what_a_terminal_sends_comes_once_and_as_the_kernels) {
  test::pty terminal;
  kept app(
      [] {
        tell_next({SIGWINCH});
        sigset_t pending;
        sigpending(&pending);
        say(sigismember(&pending, SIGWINCH) ? "twice" : "once");
        return 0;
      },
      &terminal);
  BOOST_TEST(app.line() == "waiting");
  terminal.resize(40, 100);
  BOOST_TEST(app.line() ==
             std::to_string(SIGWINCH) + " code " + std::to_string(SI_KERNEL) + " from 0 value 0");
  BOOST_TEST(app.line() == "once");
  BOOST_TEST(app.finish() == 0);
}

BOOST_AUTO_TEST_CASE(the_master_writes_to_a_terminal_that_stops_background_output) {
  test::pty terminal;
  terminal.stop_background_output();
  kept app(
      [&] {
        std::string_view words = "served\n";
        if (::write(terminal.slave(), words.data(), words.size()) < 0) return 1;
        say("written");
        return 0;
      },
      &terminal);
  BOOST_TEST(app.line() == "written");
  BOOST_TEST(app.finish() == 0);
}

BOOST_AUTO_TEST_CASE(stopped_by_the_terminal_both_stop_and_go_on_together) {
  kept app([] {
    say(std::to_string(::getpid()));
    return tell_next({SIGTERM});
  });
  auto master = app.number();
  BOOST_TEST(app.line() == "waiting");
  app.signal(SIGTSTP);
  BOOST_REQUIRE(stops(app.pid()));
  BOOST_REQUIRE(stops_below(master));
  app.signal(SIGCONT);
  app.signal(SIGTERM);
  BOOST_TEST(app.line().starts_with("15 code 0"));
  BOOST_TEST(app.finish() == 0);
}

BOOST_AUTO_TEST_CASE(when_the_master_ends_nothing_of_its_is_left) {
  kept app([] {
    make_daemon();
    if (::fork() == 0)
      for (;;) ::pause();
    return 3;
  });
  BOOST_TEST(app.finish() == 3);
  // They would be ours by now.
  BOOST_TEST(::waitpid(-1, nullptr, WNOHANG) == -1);
  BOOST_TEST(errno == ECHILD);
}

BOOST_AUTO_TEST_CASE(descendants_end_whatever_session_they_made) {
  auto killer = ::fork();
  if (killer == 0) {
    kernel::adopt_orphans();
    auto stopped = make_daemon();
    ::kill(stopped, SIGSTOP);
    if (::fork() == 0) {
      make_daemon();
      for (;;) ::pause();
    }
    kernel::end_descendants(std::chrono::seconds(20));
    ::_exit(::waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD ? 0 : 1);
  }
  int status = 0;
  BOOST_TEST(::waitpid(killer, &status, 0) == killer);
  BOOST_TEST(status == 0);
}

BOOST_AUTO_TEST_CASE(a_stopped_master_sees_the_end_of_its_keeper) {
  kept app([] {
    auto link = pid_of_keeper();
    say(std::to_string(::getpid()));
    ::raise(SIGSTOP);
    // Continued by nobody but the kernel.
    say(::getppid() == link ? "kept" : "alone");
    return 0;
  });
  auto master = app.number();
  BOOST_REQUIRE(stops_below(master));
  app.signal(SIGKILL);
  BOOST_TEST(app.line() == "alone");
  BOOST_TEST(app.finish() == -SIGKILL);
  BOOST_TEST(::waitpid(master, nullptr, 0) == master);
}

BOOST_AUTO_TEST_SUITE_END()
