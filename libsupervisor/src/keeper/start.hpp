// How a master comes into being below its keeper.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <csignal>
#include <optional>
#include <string>
#include <vector>

#include "kernel/unique_fd.hpp"

namespace supervisor {

/// How a process ended: what the keeper ends with, too.
struct end_of_master {
  bool by_signal = false;
  int number = 0;
};

/// The keeper's view of one.
struct master_process {
  pid_t pid = 0;  ///< 0: there is none
  kernel::unique_fd pidfd, socket;
};

/// The master's end.
struct keeper_link {
  kernel::unique_fd socket;  ///< end of file: the keeper is gone
  pid_t pid = 0;             ///< the main process
};

class keeper_store;
struct keeper_memory;

/// Makes masters. All that takes memory is done when it is made.
class master_starter {
 public:
  /// `mask`: the signals that masters are to have blocked.
  master_starter(int argc, char** argv, const sigset_t& mask);
  /// As another program has left it, in this process.
  master_starter(int argc, char** argv, const keeper_memory&);
  /// The program, executed again. Without a pid: it could not be.
  master_process start() noexcept;
  /// A fork of this process. In the master, a pid of 0, and the link can be taken.
  std::optional<master_process> fork_first() noexcept;
  /// For as long as there is no master to do it: ends what is held when this process ends, unless
  /// it was sent a packet before.
  static master_process start_guard(const keeper_store& held) noexcept;

  // A program is pinned: what becomes of its file does not matter.
  /// Takes what is on disk now for the next one. 0, or errno.
  int open_next() noexcept;
  /// Executes that. It ends with the keeper.
  master_process start_next() noexcept;
  void drop_next() noexcept { next_.reset(); }
  /// From now on start() is of the next one, on trial: go_back() undoes that, until keep().
  void try_next() noexcept { tried_ = std::move(next_); }
  void go_back() noexcept { tried_.reset(); }
  void keep() noexcept { program_ = std::move(tried_); }

  /// False where that is not possible.
  bool save(keeper_memory&) const noexcept;
  /// The program of masters in this process, with that memory inherited. Returns errno where it
  /// cannot be executed.
  int execute_here(int memory) noexcept;

 private:
  /// As execve(2) takes them.
  class string_list {
   public:
    explicit string_list(std::vector<std::string>);
    char** get() noexcept { return pointers_.data(); }

   private:
    std::vector<std::string> texts_;
    std::vector<char*> pointers_;
  };

  master_process start(int program, int signal_of_end) noexcept;

  std::string path_;
  kernel::unique_fd program_, next_, tried_;
  string_list arguments_;
  /// First that by which the master knows its keeper, then the listeners.
  string_list environment_;
  sigset_t mask_;
  rlimit descriptors_;  ///< of masters: the keeper's limit is raised
};

/// Makes this process the keeper of a master, which is forked from it. Returns in the master with
/// nothing, and the link can be taken; in the keeper with the exit code when all is over. A process
/// that a keeper has executed is its master already.
std::optional<int> become_keeper(int argc, char** argv);

/// That of the keeper above this process, once.
std::optional<keeper_link> take_keeper_link() noexcept;
/// Once this process is told what is held: it is the master, and not one that may come.
void be_master() noexcept;
/// Its pid, whether the link was taken or not; 0: there is none.
pid_t pid_of_keeper() noexcept;

}  // namespace supervisor
