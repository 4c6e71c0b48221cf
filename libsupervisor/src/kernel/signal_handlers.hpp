// What happens inside a signal handler, and what it leaves behind for the loop.
#pragma once

#include <signal.h>

#include <vector>

#include "supervisor/signals.hpp"

namespace supervisor::kernel {

/// What the process does on `number` now. Throws system_error (a bad number).
struct sigaction disposition(int number);

/// Puts our handler over the present one, which must be a function: each delivery is counted and
/// its sender kept, then that one is called. Throws system_error: EBUSY where ours stands already.
void catch_signal(int number);

/// The end of catch_signal(). Where our handler still stands, the one under it comes back; where
/// somebody has replaced it since (Asio does, by SIG_DFL), `before` does.
void release_signal(int number, const struct sigaction& before) noexcept;

/// Whether collect() would find something.
bool collectable(int number) noexcept;

/// Appends what came since the last call: one event for what was sent, one for what came from the
/// kernel itself; of a real-time signal one a delivery, in order, and those beyond a ring of 128
/// counted and summed up in one.
void collect(int number, std::vector<signal_event>& into);

}  // namespace supervisor::kernel
