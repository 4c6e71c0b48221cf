// Whose child a process is, and what becomes of those whose parent is gone.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <optional>

#include "supervisor/time.hpp"

namespace supervisor::kernel {

/// Descendants whose parent dies become children of this process, prctl(2).
void adopt_orphans() noexcept;
/// This process gets `number` when its parent ends. False: it has ended, and there is another.
bool tell_end_of_parent(pid_t parent, int number) noexcept;

/// A child that is reaped, as waitid(2) tells of it.
struct ended_child {
  pid_t pid = 0;
  int code = 0;  ///< CLD_EXITED, CLD_KILLED, CLD_DUMPED
  int status = 0;
  rusage usage{};
};
/// Reaps any child that is dead, without waiting and without memory.
std::optional<ended_child> reap_any() noexcept;

/// Kills every child, all that fall to us in the course of it, and what is left of their process
/// groups, until there are none: for the end of a program. With adopt_orphans() before, no
/// descendant escapes, whatever session it has made. Waits at most `limit`, with all signals
/// blocked and stdin closed from then on.
void end_descendants(duration limit) noexcept;

/// Ends this process as that signal ends one; where it does not, as PID 1, with 128 and its number.
[[noreturn]] void end_by_signal(int number) noexcept;

}  // namespace supervisor::kernel
