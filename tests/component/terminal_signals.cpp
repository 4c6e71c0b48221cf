// Signals that the kernel sends to those who live on a terminal are told apart from a person's.
#include <sys/prctl.h>
#include <sys/wait.h>

#include <boost/asio/io_context.hpp>
#include <boost/test/unit_test.hpp>
#include <chrono>

#include "kernel/descriptors.hpp"
#include "supervisor/signals.hpp"
#include "support/pty.hpp"

namespace {

using namespace std::chrono_literals;
using supervisor::kernel::unique_fd;

/// What a child tells of one signal; number 0: it is there, its pid in `sender`.
struct report {
  int number = 0;
  int code = 0;
  pid_t sender = 0;
};

/// Forks a process that goes when its parent does.
pid_t fork_mortal() {
  auto parent = ::getpid();
  auto pid = ::fork();
  if (pid == 0 && (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != parent)) ::_exit(1);
  return pid;
}

/// Takes `number` by our feed and writes a report of each to `out`. Another member of the process
/// group, to whom `number` does what it always does, then does `deed` to the terminal.
[[noreturn]] void live(int number, int out, void (*deed)(int), int terminal) {
  auto tell = [out](report r) {
    if (::write(out, &r, sizeof r) != sizeof r) ::_exit(2);
  };
  boost::asio::io_context context;
  auto feed = supervisor::kernel_signals(context.get_executor());
  feed->on_ready([&] {
    for (auto& e : feed->take()) tell({e.number, e.code, e.sender});
  });
  feed->watch(number);
  tell({0, 0, ::getpid()});
  if (deed && fork_mortal() == 0) {
    ::signal(number, SIG_DFL);
    deed(terminal);
    ::_exit(0);
  }
  context.run_for(60s);
  ::_exit(3);
}

/// A session on `terminal` with somebody who lives there as above: its leader, who is in the
/// foreground; or, where there is a deed, a background process. All gone at the end of the scope.
class session {
 public:
  session(const test::pty& terminal, int number, void (*deed)(int) = nullptr) {
    int pipe[2];
    BOOST_REQUIRE(::pipe2(pipe, O_CLOEXEC) == 0);
    reports_.reset(pipe[0]);
    leader_ = fork_mortal();
    if (leader_ == 0) {
      if (!terminal.become_controlling()) ::_exit(4);
      if (!deed) live(number, pipe[1], deed, -1);
      if (fork_mortal() == 0) {
        ::setpgid(0, 0);
        live(number, pipe[1], deed, terminal.slave());
      }
      for (;;) ::pause();
    }
    ::close(pipe[1]);
    BOOST_REQUIRE(leader_ > 0);
    resident_ = next().sender;
  }
  ~session() {
    ::kill(leader_, SIGKILL);
    ::waitpid(leader_, nullptr, 0);
  }
  session(const session&) = delete;

  pid_t resident() const { return resident_; }
  report next() {
    report r;
    BOOST_REQUIRE(::read(reports_.get(), &r, sizeof r) == sizeof r);
    return r;
  }

 private:
  pid_t leader_ = -1;
  pid_t resident_ = -1;
  unique_fd reports_;
};

void check(const report& got, const report& expected) {
  BOOST_TEST(got.number == expected.number);
  BOOST_TEST(got.code == expected.code);
  BOOST_TEST(got.sender == expected.sender);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(terminal_signals)

BOOST_AUTO_TEST_CASE(a_resized_window_is_no_person) {
  test::pty terminal;
  session s(terminal, SIGWINCH);
  terminal.resize(50, 132);
  check(s.next(), {SIGWINCH, SI_KERNEL, 0});
  ::kill(s.resident(), SIGWINCH);
  check(s.next(), {SIGWINCH, SI_USER, ::getpid()});
}

BOOST_AUTO_TEST_CASE(output_from_the_background_is_no_person) {
  test::pty terminal;
  terminal.stop_background_output();
  session s(terminal, SIGTTOU, [](int fd) { (void)!::write(fd, "x", 1); });
  check(s.next(), {SIGTTOU, SI_KERNEL, 0});
  ::kill(s.resident(), SIGTTOU);
  check(s.next(), {SIGTTOU, SI_USER, ::getpid()});
}

BOOST_AUTO_TEST_CASE(input_from_the_background_is_no_person) {
  test::pty terminal;
  session s(terminal, SIGTTIN, [](int fd) {
    char byte;
    (void)!::read(fd, &byte, 1);
  });
  check(s.next(), {SIGTTIN, SI_KERNEL, 0});
  ::kill(s.resident(), SIGTTIN);
  check(s.next(), {SIGTTIN, SI_USER, ::getpid()});
}

// Else a master in the background would stop, or restart its write for ever, at its next log line.
BOOST_AUTO_TEST_CASE(our_own_lines_raise_no_ttou) {
  test::pty terminal;
  terminal.stop_background_output();
  session s(terminal, SIGTTOU, [](int fd) { supervisor::kernel::write_now(fd, "x"); });
  char byte = 0;
  BOOST_TEST(::read(terminal.master(), &byte, 1) == 1);
  BOOST_TEST(byte == 'x');
  ::kill(s.resident(), SIGTTOU);
  check(s.next(), {SIGTTOU, SI_USER, ::getpid()});  // none of the kernel's came before
}

BOOST_AUTO_TEST_SUITE_END()
