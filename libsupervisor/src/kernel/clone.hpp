// A child that borrows our memory until it executes a program.
#pragma once

#include <sys/types.h>

#include "kernel/unique_fd.hpp"

namespace supervisor::kernel {

struct cloned {
  pid_t pid;
  unique_fd pidfd;
};

/// Runs `child` in a new process on a stack of its own, in our memory, while this thread waits:
/// until the child has executed a program or ended. Costs the same however large we are. Signals
/// are blocked around it, in the child too until it unblocks them. `child` may make raw system
/// calls and write to memory of this launch, nothing else; what it returns is its exit code.
/// Throws system_error: then there is no child, and no descriptor is used up.
cloned clone_borrowing(int (*child)(void*), void* argument);

}  // namespace supervisor::kernel
