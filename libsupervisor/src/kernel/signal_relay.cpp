#include "kernel/signal_relay.hpp"

#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "kernel/error.hpp"

namespace supervisor::kernel {

namespace {

/// Who sends a siginfo may not claim it to be the kernel's or kill(2)'s: si_code must be below 0,
/// rt_sigqueueinfo(2). So codes travel moved down by this.
constexpr int moved = 0x10000;

sigset_t all_but_faults() noexcept {
  sigset_t all;
  sigfillset(&all);
  for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT})
    sigdelset(&all, fault);
  return all;
}

}  // namespace

unique_fd take_all_signals(sigset_t& before) noexcept {
  auto all = all_but_faults();
  sigprocmask(SIG_BLOCK, &all, &before);
  return unique_fd(::signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
}

void take(int signals, taken_signals which) noexcept {
  auto some = all_but_faults();
  if (which == taken_signals::all_but_real_time)
    for (int number = SIGRTMIN; number <= SIGRTMAX; ++number) sigdelset(&some, number);
  if (which == taken_signals::stops || which == taken_signals::deaths) {
    sigemptyset(&some);
    for (int number : {SIGCHLD, SIGTSTP, SIGCONT}) sigaddset(&some, number);
  }
  if (which == taken_signals::stops)
    for (int number : {SIGINT, SIGTERM, SIGQUIT}) sigaddset(&some, number);
  ::signalfd(signals, &some, 0);
}

std::optional<siginfo_t> next_signal(int signals) noexcept {
  signalfd_siginfo came;
  if (uninterrupted([&] { return ::read(signals, &came, sizeof came); }) != sizeof came) return {};
  siginfo_t info{};
  info.si_signo = static_cast<int>(came.ssi_signo);
  info.si_code = came.ssi_code;
  info.si_pid = static_cast<pid_t>(came.ssi_pid);
  info.si_uid = came.ssi_uid;
  // The union's larger member, of which sival_int is a part.
  info.si_value.sival_ptr = reinterpret_cast<void*>(came.ssi_ptr);
  return info;
}

bool relay_signal(int pidfd, const siginfo_t& came) noexcept {
  auto info = came;
  info.si_code -= moved;
  return ::syscall(SYS_pidfd_send_signal, pidfd, info.si_signo, &info, 0) == 0 || errno != EAGAIN;
}

void restore_origin(siginfo_t& info) noexcept {
  if (info.si_code < -moved / 2) info.si_code += moved;
}

}  // namespace supervisor::kernel
