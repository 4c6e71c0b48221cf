#include "kernel/signal_mask.hpp"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace supervisor::kernel {

blocked_signals::blocked_signals() noexcept {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before_);
}

blocked_signals::~blocked_signals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

int reset_signals() noexcept {
  // The kernel's own struct sigaction, all zero: SIG_DFL, no flags, empty mask. 64 bits are more
  // than any architecture's four words less the mask need.
  const std::uint64_t action[8]{};
  constexpr std::size_t mask_size = 8;
  for (int number = 1; number <= 64; ++number)
    if (number != SIGKILL && number != SIGSTOP)
      ::syscall(SYS_rt_sigaction, number, action, nullptr, mask_size);
  const std::uint64_t empty = 0;
  return ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &empty, nullptr, mask_size) < 0 ? errno : 0;
}

}  // namespace supervisor::kernel
