#include "kernel/signal_mask.hpp"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "supervisor/signals.hpp"

namespace supervisor {

signals_blocked::signals_blocked() noexcept {
  sigset_t chosen;
  sigfillset(&chosen);
  for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS}) sigdelset(&chosen, fault);
  pthread_sigmask(SIG_BLOCK, &chosen, &before_);
}

signals_blocked::~signals_blocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

namespace kernel {

blocked_signals::blocked_signals() noexcept {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before_);
}

blocked_signals::~blocked_signals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

int reset_signals() noexcept {
  // The kernel's own struct sigaction, at most this large, all zero: SIG_DFL, no flags, empty mask.
  const std::uint64_t action[8]{};
  constexpr std::size_t mask_size = 8;
  for (int number = 1; number <= 64; ++number)
    if (number != SIGKILL && number != SIGSTOP)
      ::syscall(SYS_rt_sigaction, number, action, nullptr, mask_size);
  const std::uint64_t empty = 0;
  return ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &empty, nullptr, mask_size) < 0 ? errno : 0;
}

}  // namespace kernel

}  // namespace supervisor
