// The unix socket on which a master takes commands.
#pragma once

#include <sys/types.h>

#include <string>

#include "kernel/lock_file.hpp"
#include "kernel/unique_fd.hpp"

namespace supervisor::kernel {

/// Who is at the other end of a connected unix socket.
struct peer {
  pid_t pid = 0;  ///< 0: not visible from our pid namespace
  uid_t uid = 0;
};
/// Throws system_error.
peer peer_of(int fd);

/// A listening unix socket, mode 0600, of which a path has only one: PATH.lock is held for as long
/// as it lives. Both files are removed at the end.
class control_socket {
 public:
  /// Makes the directory where it is missing (its parent must be there), replaces a socket that a
  /// dead master left. Throws already_locked where a master lives, else system_error.
  control_socket(std::string path, pid_t master);
  /// Goes on with those of another process.
  control_socket(std::string path, unique_fd lock, unique_fd socket)
      : path_(path), lock_(path + ".lock", std::move(lock)), fd_(std::move(socket)) {}
  control_socket(const control_socket&) = delete;
  ~control_socket();

  /// The listening socket, nonblocking; the caller owns it from now on.
  int release() noexcept { return fd_.release(); }
  int fd() const noexcept { return fd_.get(); }
  int lock() const noexcept { return lock_.fd(); }

 private:
  std::string path_;
  lock_file lock_;
  unique_fd fd_;
};

}  // namespace supervisor::kernel
