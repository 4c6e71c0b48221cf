// Whether the kernel keeps how children end.
#pragma once

namespace supervisor::kernel {

/// True where SIGCHLD is ignored (SIG_IGN, SA_NOCLDWAIT): then no child becomes a zombie, and its
/// status is thrown away, waitid(2).
bool child_statuses_are_lost() noexcept;

}  // namespace supervisor::kernel
