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
/// A child that is dead, left a zombie; 0: there is none. Neither waits nor takes memory.
pid_t find_dead_child() noexcept;
/// Ends that zombie.
std::optional<ended_child> reap_child(pid_t) noexcept;

/// Kills every child, all that fall to us in the course of it, and what is left of their process
/// groups, until there are none: for the end of a program. With adopt_orphans() before, no
/// descendant escapes, whatever session it has made. Waits at most `limit`, with all signals
/// blocked and stdin closed from then on.
void end_descendants(duration limit) noexcept;

/// Kills the process `pid`, and its group, if it is one that `maker`, a process that is gone, has
/// made to lead a group in its own session; what has left the session is somebody else's.
void kill_worker_of(pid_t maker, pid_t pid) noexcept;

/// Kills a process that is not our child, its group, and all that descends from it at this moment;
/// who has no living parent there any more is not found.
void kill_tree(pid_t, int pidfd) noexcept;

/// Ends this process as that signal ends one; where it does not, as PID 1, with 128 and its number.
[[noreturn]] void end_by_signal(int number) noexcept;

}  // namespace supervisor::kernel
