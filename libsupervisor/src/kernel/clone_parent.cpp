#include "kernel/clone_parent.hpp"

#include <linux/futex.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace supervisor::kernel {

namespace {

/// `made` becomes a pidfd where `flags` asks for one.
long raw_clone(unsigned long flags, int* made, int* tid) noexcept {
#if defined(__x86_64__)
  return syscall(SYS_clone, flags, nullptr, made, tid, nullptr);
#elif defined(__s390__) || defined(__CRIS__)
#error "clone(2) has another order of arguments here"
#else
  return syscall(SYS_clone, flags, nullptr, made, nullptr, tid);
#endif
}

}  // namespace

pid_t clone_sibling(unique_fd& pidfd) noexcept {
  // glibc keeps the thread's id in memory; the kernel tells where, since set_tid_address registered
  // the place. Without the update pthread functions on the child's own thread would use the mold's
  // id. A kernel without CONFIG_CHECKPOINT_RESTORE does not tell: then only those suffer.
  static int* const tid = [] {
    int* address = nullptr;
    return prctl(PR_GET_TID_ADDRESS, &address) == 0 ? address : nullptr;
  }();
  // The kernel forgets the robust list over a fork; glibc's own fork registers it again, so do we.
  static void* const robust = [] {
    void* head = nullptr;
    std::size_t size = 0;
    return syscall(SYS_get_robust_list, 0, &head, &size) == 0 ? head : nullptr;
  }();
  // The exit signal must be 0 with CLONE_PARENT, it is the caller's own. Stack 0: the caller's,
  // copied on write.
  unsigned long flags = CLONE_PARENT;
  if (tid) flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
  int made = -1;
  auto pid = raw_clone(flags | CLONE_PIDFD, &made, tid);
  if (pid < 0 && (errno == EMFILE || errno == ENFILE)) pid = raw_clone(flags, nullptr, tid);
  if (pid < 0) return -errno;
  if (pid > 0) pidfd.reset(made);
  if (pid == 0 && robust) syscall(SYS_set_robust_list, robust, sizeof(robust_list_head));
  return static_cast<pid_t>(pid);
}

}  // namespace supervisor::kernel
