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
/// Without: real-time signals stay in this process's queue until they are taken again.
void take_real_time(int signals, bool yes) noexcept;

/// Sends it on to a child of ours that is not reaped, so that restore_origin() finds there what
/// came here. False: a real-time signal, for which the kernel has no room there now
/// (RLIMIT_SIGPENDING). One of the others loses its sender then, and comes.
bool relay_signal(pid_t child, const siginfo_t&) noexcept;
/// Undoes in a handler what relaying has to do to a siginfo.
void restore_origin(siginfo_t&) noexcept;

}  // namespace supervisor::kernel
