// What happens inside a signal handler, and what it leaves behind for the loop.
#pragma once

#include <signal.h>

#include <cstdint>
#include <vector>

#include "supervisor/signals.hpp"

namespace supervisor::kernel {

/// What the process does on `number` now. Throws system_error (a bad number).
struct sigaction disposition(int number);

/// Puts our handler over the present one, which must be a function: each delivery is counted and
/// its sender kept, then that one is called. Calls that it interrupts are restarted, or fail with
/// EINTR. Throws system_error: EBUSY where ours stands already.
void catch_signal(int number, bool restart);

/// A system call that this signal interrupts goes on, whoever handles it; sigaction(2), SA_RESTART.
void restart_calls(int number) noexcept;
/// Changes what catch_signal() was told, where our handler stands.
void set_restart(int number, bool restart) noexcept;

/// From now on each delivery writes its number as one byte into this pipe; -1: into none.
void set_wakeup(int number, int pipe) noexcept;

/// Bytes that did not fit since the last call.
std::uint64_t take_wakeups_lost(int number) noexcept;

/// The end of catch_signal(). Where our handler still stands, the one under it comes back; where
/// somebody has replaced it since (Asio does, by SIG_DFL), `before` does.
void release_signal(int number, const struct sigaction& before) noexcept;

/// Sets of signal numbers, one bit each.
constexpr std::uint64_t bit_of(int number) noexcept { return std::uint64_t{1} << (number - 1); }

/// Those of `wanted` for which collect() would find something.
std::uint64_t pending(std::uint64_t wanted) noexcept;
/// The same, which pending() then tells no more: whoever takes them collects them.
std::uint64_t take_pending(std::uint64_t wanted) noexcept;

/// Appends what came since the last call: one event for what was sent, one for what came from the
/// kernel itself; of a real-time signal one a delivery, in order, and those beyond a ring of 128
/// counted and summed up in one.
void collect(int number, std::vector<signal_event>& into);

}  // namespace supervisor::kernel
