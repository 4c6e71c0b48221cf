#include "kernel/clone.hpp"

#include <pthread.h>
#include <sched.h>

#include <csignal>
#include <cstddef>
#include <memory>

#include "kernel/error.hpp"
#include "kernel/signal_mask.hpp"

#if defined(__SANITIZE_THREAD__)
#define SUPERVISOR_UNDER_TSAN
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SUPERVISOR_UNDER_TSAN
#endif
#endif
#ifdef SUPERVISOR_UNDER_TSAN
// ThreadSanitizer's clone() takes the child for a fork's and resets itself there: in our memory.
extern "C" int __clone(int (*)(void*), void*, int, void*, ...);
#define clone __clone
#endif

namespace supervisor::kernel {

cloned clone_borrowing(int (*child)(void*), void* argument) {
  constexpr std::size_t stack_size = 64 * 1024;
  auto stack = std::make_unique_for_overwrite<std::byte[]>(stack_size);
  int pidfd = -1;
  blocked_signals guard;
  // The child has our thread's state: a cancellation under way would unwind this stack in it.
  int cancellation;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellation);
  // clone(2): the stack grows down on every Linux but one; the parent_tid argument takes the pidfd.
  pid_t pid = ::clone(child, stack.get() + stack_size,
                      CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, argument, &pidfd);
  int error = errno;
  pthread_setcancelstate(cancellation, nullptr);
  if (pid < 0) throw_errno("clone", error);
  return {pid, unique_fd(pidfd)};
}

}  // namespace supervisor::kernel
