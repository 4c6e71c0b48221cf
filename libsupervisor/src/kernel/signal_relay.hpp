// Signals that one process takes for another, with who sent them and what came along.
#pragma once

#include <csignal>
#include <optional>

#include "kernel/unique_fd.hpp"

namespace supervisor::kernel {

/// Blocks every signal but those of faults, for good, and makes a descriptor that has those that
/// come. Empty where there is none left.
unique_fd take_all_signals(sigset_t& before) noexcept;
/// The next one, without waiting.
std::optional<siginfo_t> next_signal(int signals) noexcept;
/// Which of those that come are had from it; the others stay in this process's queue.
enum class taken_signals {
  all,
  all_but_real_time,
  stops,  ///< INT, TERM, QUIT, and as below
  deaths  ///< SIGCHLD; TSTP of a terminal, and CONT
};
void take(int signals, taken_signals) noexcept;

/// Sends it on, so that restore_origin() finds there what came here. False: a real-time signal for
/// which the kernel has no room now (RLIMIT_SIGPENDING).
bool relay_signal(int pidfd, const siginfo_t&) noexcept;
/// Undoes in a handler what relaying has to do to a siginfo.
void restore_origin(siginfo_t&) noexcept;

}  // namespace supervisor::kernel
