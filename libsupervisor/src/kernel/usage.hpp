// What a process uses, read from outside. For children that are not reaped, whose number is theirs.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "supervisor/time.hpp"

namespace supervisor::kernel {

/// Bytes of its proportional set size; where we may not read that (another user's, without
/// CAP_SYS_PTRACE), of what it has resident and does not share. Empty: it is gone.
std::optional<std::uint64_t> memory_of(pid_t);
/// CPU time of all its threads.
std::optional<duration> cpu_time_of(pid_t) noexcept;
/// When it was made, or up to a clock tick later.
std::optional<time_point> started_at(pid_t);
/// How long the machine has been suspended since it booted.
duration time_asleep() noexcept;

}  // namespace supervisor::kernel
