// The thread's signal mask, and what a new process does with the one it inherits.
#pragma once

#include <csignal>

namespace supervisor::kernel {

/// All signals are blocked while it lives.
class blocked_signals {
 public:
  blocked_signals() noexcept;
  ~blocked_signals();
  blocked_signals(const blocked_signals&) = delete;

 private:
  sigset_t before_;
};

/// In a new process: every disposition back to the default, then an empty mask - in this order, so
/// that no handler of the parent's ever runs here. Raw system calls only: glibc's wrappers refuse
/// its internal signals. 0 or errno.
int reset_signals() noexcept;

}  // namespace supervisor::kernel
