// A fork whose child is our sibling.
#pragma once

#include <sys/types.h>

namespace supervisor::kernel {

/// fork(2) with CLONE_PARENT: the child's parent is the caller's parent, which reaps it. Returns 0
/// in the child, its pid in the caller, or -errno. For single-threaded callers only: no lock is
/// taken and no pthread_atfork handler runs. Raw clone(2), because container seccomp profiles
/// answer clone3 with ENOSYS.
pid_t clone_sibling() noexcept;

}  // namespace supervisor::kernel
