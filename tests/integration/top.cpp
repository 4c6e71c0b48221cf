// prefork top on a terminal of the test's own.
#include <poll.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <csignal>
#include <cstdlib>

#include "support/app.hpp"
#include "support/pty.hpp"

namespace {

constexpr const char* take_screen = "\x1b[?1049h";
constexpr const char* give_back = "\x1b[?25h\x1b[?1049l";

/// Somebody before a terminal, who has started prefork top on it.
class viewer {
 public:
  explicit viewer(const std::string& control, const char* kind = "xterm") {
    terminal_.resize(24, 140);
    ::tcgetattr(terminal_.slave(), &before_);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::alarm(120);
      if (!terminal_.become_controlling()) ::_exit(120);
      for (int fd : {0, 1, 2}) ::dup2(terminal_.slave(), fd);
      ::setenv("TERM", kind, 1);
      ::execl(TEST_PREFORK, "prefork", "top", "--control", control.c_str(), "-d", "100ms", nullptr);
      ::_exit(121);
    }
    BOOST_REQUIRE(pid_ > 0);
  }
  ~viewer() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }

  void press(std::string_view keys) {
    BOOST_REQUIRE(::write(terminal_.master(), keys.data(), keys.size()) ==
                  static_cast<ssize_t>(keys.size()));
  }
  /// Waits until the terminal is given that, after what was waited for before.
  void see(std::string_view text) {
    const auto deadline = std::chrono::steady_clock::now() + test::patience;
    for (;;) {
      auto at = shown_.find(text, seen_);
      if (at != shown_.npos) {
        seen_ = at + text.size();
        return;
      }
      auto left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      pollfd readable{terminal_.master(), POLLIN, 0};
      BOOST_REQUIRE_MESSAGE(
          left.count() > 0 && ::poll(&readable, 1, static_cast<int>(left.count())) == 1,
          "no \"" << text << "\" in " << shown_.substr(seen_));
      char part[4096];
      auto size = ::read(terminal_.master(), part, sizeof part);
      BOOST_REQUIRE(size > 0);
      shown_.append(part, static_cast<std::size_t>(size));
    }
  }
  void resize(unsigned short lines, unsigned short columns) { terminal_.resize(lines, columns); }
  void hang_up() { terminal_.hang_up(); }
  void signal(int number) { ::kill(pid_, number); }
  void await_stop() {
    int status = 0;
    BOOST_REQUIRE(::waitpid(pid_, &status, WUNTRACED) == pid_);
    BOOST_REQUIRE(WIFSTOPPED(status));
  }
  /// The exit code.
  int end() {
    int status = 0;
    BOOST_REQUIRE(::waitpid(std::exchange(pid_, 0), &status, 0) > 0);
    BOOST_REQUIRE(WIFEXITED(status));
    return WEXITSTATUS(status);
  }
  void expect_restored() {
    see(give_back);
    termios after{};
    ::tcgetattr(terminal_.slave(), &after);
    BOOST_TEST(after.c_lflag == before_.c_lflag);
  }

 private:
  test::pty terminal_;
  termios before_{};
  pid_t pid_ = 0;
  std::string shown_;
  std::size_t seen_ = 0;
};

struct running : test::master {
  running() : master({"-w", "2", "-b", "127.0.0.1:0"}) { wait_ready(2); }
  void end() {
    BOOST_TEST(ask({"stop"}).code == 0);
    BOOST_TEST(finish().code == 0);
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(top)

BOOST_AUTO_TEST_CASE(shows_the_slots_and_obeys_keys) {
  running app;
  viewer top(app.control());
  top.see(take_screen);
  top.see("web 2/2 ready");
  top.see("web.0");
  top.see("idle");
  top.see("web.1");
  test::http_request slow(app.port(), "/slow?ms=1000");
  top.see("GET /slow");
  BOOST_TEST(slow.answer().status == 200);

  top.press("+");
  top.see("one worker more: done");
  top.see("web 3/3 ready");
  top.see("web.2");
  top.press("-");
  top.see("one worker fewer: done");
  top.see("web 2/2 ready");

  auto before = app.workers();
  top.press("\x1b[B");  // down
  top.see("\x1b[7mweb.");
  top.press("r");
  top.see("restart of slot ");
  top.see(": done");
  BOOST_TEST(app.workers() != before);

  top.press("s");
  top.see("*REQ/S");
  top.resize(10, 20);
  top.see("\x1b[1mq quit   s sort   up");
  top.press("q");
  top.expect_restored();
  BOOST_TEST(top.end() == 0);
  app.end();
}

BOOST_AUTO_TEST_CASE(gives_the_terminal_back_after_a_signal) {
  running app;
  for (auto [number, code] :
       {std::pair(SIGTERM, 143), std::pair(SIGHUP, 129), std::pair(SIGINT, 0)}) {
    viewer top(app.control());
    top.see("web.1");
    top.signal(number);
    top.expect_restored();
    BOOST_TEST(top.end() == code);
  }
  {
    viewer top(app.control());
    top.see("web.1");
    top.press("\x03");  // ^C
    top.expect_restored();
    BOOST_TEST(top.end() == 0);
  }
  app.end();
}

BOOST_AUTO_TEST_CASE(ends_with_its_terminal) {
  running app;
  viewer top(app.control());
  top.see("web.1");
  top.hang_up();
  BOOST_TEST(top.end() == 129);
  app.end();
}

BOOST_AUTO_TEST_CASE(comes_back_after_it_was_stopped) {
  running app;
  viewer top(app.control());
  top.see("web.1");
  top.signal(SIGTSTP);
  top.see(give_back);
  top.await_stop();
  top.signal(SIGCONT);
  top.see(take_screen);
  top.see("web.1");
  top.press("q");
  top.expect_restored();
  BOOST_TEST(top.end() == 0);
  app.end();
}

BOOST_AUTO_TEST_CASE(leaves_when_the_master_does) {
  running app;
  viewer top(app.control());
  top.see("web.1");
  app.signal(SIGTERM);
  top.expect_restored();
  top.see("no master is running");
  BOOST_TEST(top.end() == 3);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(needs_a_terminal_that_can_show_pictures) {
  running app;
  viewer dumb(app.control(), "dumb");
  dumb.see("top draws on a terminal");
  BOOST_TEST(dumb.end() == 2);
  auto piped = app.ask({"top"});
  BOOST_TEST(piped.code == 2);
  BOOST_TEST(piped.err.find("prefork status -o json") != std::string::npos, piped.err);
  app.end();
}

BOOST_AUTO_TEST_SUITE_END()
