// Makes a process that executes a program.
#pragma once

#include <sys/resource.h>

#include <boost/asio/any_io_executor.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernel/credentials.hpp"
#include "process/held_process.hpp"
#include "supervisor/exit_report.hpp"

namespace supervisor {

/// Everything that a new process needs, ready before it is made: the child itself can neither
/// allocate nor wait.
struct launch_plan {
  std::string path;
  int program = -1;  ///< instead of path: a pinned executable
  std::vector<std::string> arguments;
  std::vector<std::string> environment;
  std::vector<int>
      descriptors;  ///< child's descriptor i is this one of ours; -1 and all others: closed
  std::string directory;
  std::optional<mode_t> umask;
  std::vector<std::pair<int, rlimit>> limits;
  kernel::credentials who;
  bool no_new_privileges = false;
  bool end_with_thread = true;  ///< killed when the thread that makes it ends, prctl(2)
};

/// The environment entry whose digits the child fills in: only it knows its pid.
inline constexpr const char* listen_pid_entry = "LISTEN_PID=0000000000";

struct launched {
  held_process process;
  std::optional<launch_error> failed;  ///< it ends with 127, and is to be reaped like any other
};

/// Throws system_error where there is no child at all: nothing is left behind then.
launched launch(boost::asio::any_io_executor, launch_plan);

}  // namespace supervisor
