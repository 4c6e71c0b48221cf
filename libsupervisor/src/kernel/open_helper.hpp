// open(2) in a process of its own: it may wait for ever, the loop may not.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "kernel/unique_fd.hpp"

namespace supervisor::kernel {

/// A process that makes one blocking open(2) and hands the descriptor over. It borrows our memory,
/// so it costs the same however large we are; it holds none of our descriptors, has no signal to
/// send at its end, and dies with us.
class open_helper {
 public:
  /// `flags` of open(2); O_CREAT makes files of mode 0666 less the umask. Throws system_error.
  open_helper(const std::string& path, int flags);
  /// Kills it if it still lives, and waits for its end: it must not outlive its stack.
  ~open_helper();
  open_helper(const open_helper&) = delete;

  int channel() const noexcept { return channel_.get(); }  ///< readable when there is an answer
  int pidfd() const noexcept { return pidfd_.get(); }      ///< readable when it has ended
  void kill() noexcept;
  /// The opened descriptor: close-on-exec, non-blocking. Throws what open(2) failed with, and the
  /// path.
  unique_fd take();

 private:
  struct order;
  std::unique_ptr<order> order_;
  unique_fd channel_;
  unique_fd pidfd_;
};

}  // namespace supervisor::kernel
