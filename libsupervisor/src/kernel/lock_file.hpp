// A file that says which process runs: a pidfile, the lock beside a socket.
#pragma once

#include <sys/types.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "kernel/unique_fd.hpp"

namespace supervisor::kernel {

/// Another process holds the lock.
class already_locked : public std::runtime_error {
 public:
  already_locked(const std::string& path, pid_t holder)
      : std::runtime_error(path + " is held by pid " + std::to_string(holder)), holder_(holder) {}
  /// 0 where the file does not tell.
  pid_t holder() const noexcept { return holder_; }

 private:
  pid_t holder_;
};

/// Holds flock(2) on a file that contains a pid, and removes the file at the end. The kernel drops
/// the lock with its holder, so a file that a dead process left is simply taken over. Its mode is
/// 0600, as pidfile(3) of BSD has it: whoever could read it could lock it, and keep us out.
class lock_file {
 public:
  /// Throws already_locked, or system_error. A file that holds something else than a pid is no
  /// lock file: it is refused, not overwritten.
  lock_file(std::string path, pid_t holder);
  /// Goes on with a lock that another process has taken, and that `fd` holds.
  lock_file(std::string path, unique_fd fd) : fd_(std::move(fd)), path_(std::move(path)) {}
  lock_file(const lock_file&) = delete;
  ~lock_file();
  int fd() const noexcept { return fd_.get(); }

 private:
  unique_fd fd_;
  std::string path_;
};

}  // namespace supervisor::kernel
