#include "kernel/child_statuses.hpp"

#include <csignal>

namespace supervisor::kernel {

bool child_statuses_are_lost() noexcept {
  struct sigaction present;
  if (sigaction(SIGCHLD, nullptr, &present) != 0) return false;
  bool ignored = !(present.sa_flags & SA_SIGINFO) && present.sa_handler == SIG_IGN;
  return ignored || (present.sa_flags & SA_NOCLDWAIT);
}

}  // namespace supervisor::kernel
