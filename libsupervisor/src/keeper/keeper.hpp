// The keeper: the main process of a master that is itself kept. It is the master's parent, hands on
// the signals that come for it, holds what must outlive it, and ends everything when it is over.
//
// So that it never fails itself it does next to nothing: one loop around poll(2), no memory taken
// after its start, no Asio, no exceptions.
#pragma once

#include <sys/types.h>

#include <optional>

#include "kernel/unique_fd.hpp"

namespace supervisor {

/// The master's end.
struct keeper_link {
  kernel::unique_fd socket;  ///< end of file: the keeper is gone
  pid_t pid = 0;             ///< the main process
};

/// Forks the master from this process, which becomes its keeper. Returns in the master with
/// nothing, and the link can be taken; in the keeper with the exit code when all is over.
std::optional<int> become_keeper(int argc, char** argv);

/// That of the keeper above this process, once.
std::optional<keeper_link> take_keeper_link() noexcept;
/// Its pid, whether the link was taken or not; 0: there is none.
pid_t pid_of_keeper() noexcept;

}  // namespace supervisor
