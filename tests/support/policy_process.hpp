// supervisor::run in a process of its own, its log read line by line.
#pragma once

#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <chrono>
#include <csignal>
#include <string>

#include "kernel/unique_fd.hpp"
#include "supervisor/run.hpp"
#include "support/functions.hpp"

namespace test {

/// A fork of this one; what it leaves behind falls to us, for test::leftovers to find.
class policy_process {
 public:
  explicit policy_process(const supervisor::policy& decide,
                          supervisor::run_options options = supervisor::run_options()) {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    int ends[2];
    BOOST_REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    log_.reset(ends[0]);
    supervisor::kernel::unique_fd theirs(ends[1]);
    pid_ = ::fork();
    BOOST_REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      ::alarm(100);
      ::dup2(theirs.get(), STDERR_FILENO);
      theirs.reset();
      log_.reset();
      char name[] = "deciding";
      char* argv[] = {name, nullptr};
      ::_exit(supervisor::run(1, argv, decide, functions(), std::move(options)));
    }
  }
  ~policy_process() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  policy_process(const policy_process&) = delete;

  pid_t pid() const noexcept { return pid_; }
  void signal(int number) const { BOOST_TEST(::kill(pid_, number) == 0); }
  /// Reads on until the log says so.
  void wait_for(const std::string& words) {
    for (;;) {
      auto found = text_.find(words, seen_);
      if (found != text_.npos) {
        seen_ = found + words.size();
        return;
      }
      BOOST_REQUIRE_MESSAGE(read_some(), "the log never says: " << words << "\n" << text_);
    }
  }
  /// The exit code; -signal where one killed it. Read to its end, the log is whole.
  int finish() {
    while (read_some()) {
    }
    int status = 0;
    BOOST_REQUIRE(::waitpid(std::exchange(pid_, -1), &status, 0) > 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  bool says(const std::string& words) const { return text_.find(words) != text_.npos; }
  const std::string& log() const noexcept { return text_; }

 private:
  bool read_some() {
    pollfd readable{log_.get(), POLLIN, 0};
    BOOST_REQUIRE_MESSAGE(::poll(&readable, 1, 30'000) == 1, "nothing comes any more\n" << text_);
    char buffer[4096];
    auto size = ::read(log_.get(), buffer, sizeof buffer);
    if (size > 0) text_.append(buffer, static_cast<std::size_t>(size));
    return size > 0;
  }

  pid_t pid_ = -1;
  supervisor::kernel::unique_fd log_;
  std::string text_;
  std::size_t seen_ = 0;
};

}  // namespace test
