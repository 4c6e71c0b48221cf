// What a test must not leave behind.
#pragma once

#include <fcntl.h>
#include <sys/wait.h>

#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <map>
#include <string>

#include "kernel/pidfd.hpp"

namespace test {

/// A fixture, best the first base of all: when the test ends there is no child, no zombie, and no
/// descriptor that was not there before.
class leftovers {
 public:
  leftovers() : before_(descriptors()) {}
  leftovers(const leftovers&) = delete;
  ~leftovers() {
    for (pid_t pid : supervisor::kernel::children_of(::getpid())) {
      BOOST_ERROR("left behind: process " << pid);
      auto fd = supervisor::kernel::open_pidfd(pid);
      supervisor::kernel::send_signal(fd.get(), SIGKILL);
    }
    siginfo_t info{};
    while (::waitid(P_ALL, 0, &info, WEXITED) == 0) BOOST_ERROR("left behind: " << info.si_pid);
    for (auto& [fd, what] : descriptors())
      if (!before_.contains(fd)) {
        BOOST_ERROR("left behind: descriptor " << fd << " " << what);
        ::close(fd);
      }
  }

 private:
  static std::map<int, std::string> descriptors() {
    std::map<int, std::string> open;
    namespace fs = std::filesystem;
    for (auto& entry : fs::directory_iterator("/proc/self/fd")) {
      std::error_code gone;
      auto what = fs::read_symlink(entry.path(), gone);
      int fd = std::stoi(entry.path().filename().string());
      // The directory's own descriptor is closed again by the time it is asked for.
      if (!gone) open.emplace(fd, what.string());
    }
    std::erase_if(open, [](auto& each) { return ::fcntl(each.first, F_GETFD) < 0; });
    return open;
  }

  std::map<int, std::string> before_;
};

}  // namespace test
