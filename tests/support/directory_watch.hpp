// Waiting for what happens to the files of a directory.
#pragma once

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <string>

#include "support/app.hpp"

namespace test {

class directory_watch {
 public:
  explicit directory_watch(const std::string& path) : fd_(::inotify_init1(IN_CLOEXEC)) {
    ::inotify_add_watch(fd_.get(), path.c_str(), IN_CREATE | IN_MODIFY | IN_MOVED_TO);
  }
  /// Looks at the beginning, and then after each change; false when patience ends.
  template <typename Predicate>
  bool wait_until(Predicate done) {
    while (!done()) {
      char events[4096];
      pollfd changed{fd_.get(), POLLIN, 0};
      auto limit = std::chrono::milliseconds(patience).count();
      if (::poll(&changed, 1, static_cast<int>(limit)) != 1) return false;
      if (::read(fd_.get(), events, sizeof events) <= 0) return false;
    }
    return true;
  }

 private:
  unique_fd fd_;
};

}  // namespace test
