// A dispatcher on the kernel's signals, and processes that send them.
#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "supervisor/condition.hpp"
#include "supervisor/signals.hpp"

namespace test {

/// A process that runs `body`, which makes async-signal-safe calls only, and leaves with what it
/// returns. Killed and reaped at the end of the scope, whatever happens.
class forked {
 public:
  template <typename Body>
  explicit forked(Body body) : pid_(::fork()) {
    if (pid_ == 0) ::_exit(body());
    BOOST_REQUIRE(pid_ > 0);
  }
  ~forked() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  forked(const forked&) = delete;

  pid_t pid() const { return pid_; }
  /// The exit code; -signal where one killed it.
  int wait() {
    int status = 0;
    BOOST_REQUIRE(::waitpid(std::exchange(pid_, -1), &status, 0) > 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  pid_t pid_;
};

inline int queue_signal(pid_t pid, int number, int value) {
  union sigval v;
  v.sival_int = value;
  return ::sigqueue(pid, number, v);
}

/// Waits until that thread or process sleeps in the kernel (state S in its stat file); false when
/// it is gone. Async-signal-safe.
inline bool await_sleep(pid_t id) {
  char path[32] = "/proc/", digits[16], stat[256];
  int length = 0;
  for (pid_t rest = id; rest; rest /= 10) digits[length++] = static_cast<char>('0' + rest % 10);
  char* end = path + 6;
  while (length) *end++ = digits[--length];
  for (char c : {'/', 's', 't', 'a', 't', '\0'}) *end++ = c;
  for (;;) {
    int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    auto size = ::read(fd, stat, sizeof stat - 1);
    ::close(fd);
    if (size <= 0) return false;
    stat[size] = 0;
    const char* state = stat;
    for (const char* c = stat; *c; ++c)
      if (*c == ')') state = c + 2;
    if (*state == 'S') return true;
  }
}

struct signal_world {
  boost::asio::io_context context;
  std::unique_ptr<supervisor::signal_feed> feed =
      supervisor::kernel_signals(context.get_executor());
  std::vector<std::string> told;
  supervisor::condition gate{context.get_executor()};
  bool open = false;
  std::vector<supervisor::signal_event> calls;
  std::uint64_t handled = 0;  // deliveries, by note()
  supervisor::signal_dispatcher signals{context.get_executor(), *feed, watcher()};

  supervisor::signal_dispatcher::observer watcher() {
    supervisor::signal_dispatcher::observer o;
    o.unhandled = [this](const supervisor::signal_event& e) {
      told.push_back(supervisor::signal_name(e.number));
    };
    return o;
  }
  supervisor::signal_handler note() {
    return [this](supervisor::signal_event e) -> boost::asio::awaitable<void> {
      calls.push_back(e);
      handled += e.count;
      co_return;
    };
  }
  supervisor::signal_handler slow() {
    return [this](supervisor::signal_event e) -> boost::asio::awaitable<void> {
      calls.push_back(e);
      while (!open) co_await gate.wait();
    };
  }
  template <typename Done>
  void run_until(Done done) {
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    context.restart();
    while (!done()) {
      BOOST_REQUIRE_MESSAGE(std::chrono::steady_clock::now() < deadline, "nothing came in time");
      context.run_one_until(deadline);
      if (context.stopped()) context.restart();
    }
  }
  void poll() {
    context.restart();
    context.poll();
  }
  /// Calls of `number`, and what they sum up to.
  std::uint64_t count(int number) const {
    std::uint64_t n = 0;
    for (auto& e : calls)
      if (e.number == number) n += e.count;
    return n;
  }
  std::int64_t sum(int number) const {
    std::int64_t n = 0;
    for (auto& e : calls)
      if (e.number == number) n += e.value;
    return n;
  }
};

inline struct sigaction disposition(int number) {
  struct sigaction present;
  BOOST_REQUIRE(::sigaction(number, nullptr, &present) == 0);
  return present;
}

}  // namespace test
