// A child of ours that is not reaped.
#pragma once

#include <sys/types.h>

#include <boost/asio/any_io_executor.hpp>
#include <memory>

#include "kernel/unique_fd.hpp"

namespace supervisor {

/// Held by a boost::process object, of which nothing is used that waits or signals: those go by
/// number, block, and steal each other's status (process#447, #496, #564). Destroyed, it lets go;
/// it never kills and never waits.
class held_process {
 public:
  held_process(boost::asio::any_io_executor, pid_t, kernel::unique_fd pidfd);
  held_process(held_process&&) noexcept;
  held_process& operator=(held_process&&) noexcept;
  ~held_process();

  pid_t pid() const noexcept { return pid_; }
  /// Kept by number: the pidfd of Boost 1.81's process cannot be asked for.
  int pidfd() const noexcept { return pidfd_; }

 private:
  struct impl;
  pid_t pid_;
  int pidfd_;
  std::unique_ptr<impl> impl_;
};

}  // namespace supervisor
