// A fork whose child is our sibling.
#pragma once

#include <sys/types.h>

#include "kernel/unique_fd.hpp"

namespace supervisor::kernel {

/// fork(2) with CLONE_PARENT: the child's parent is the caller's parent, which reaps it. Returns 0
/// in the child, its pid in the caller, or -errno. The caller gets a pidfd, too, where it has room
/// for one: whoever is told the pid may be later than the end of the child, and of what bears its
/// number. For single-threaded callers only: no lock is
/// taken and no pthread_atfork handler runs. Raw clone(2), because container seccomp profiles
/// answer clone3 with ENOSYS.
pid_t clone_sibling(unique_fd& pidfd) noexcept;

}  // namespace supervisor::kernel
