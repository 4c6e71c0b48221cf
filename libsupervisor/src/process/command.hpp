// What a spec asks for, as a launch_plan.
#pragma once

#include <map>
#include <optional>

#include "kernel/credentials.hpp"
#include "kernel/pinned_program.hpp"
#include "kernel/unique_fd.hpp"
#include "process/launcher.hpp"
#include "supervisor/spec.hpp"

namespace supervisor {

/// What throws when a plan cannot be made.
struct launch_failure {
  launch_error error;
};

/// One of a child's outputs: where it writes, and where we read if the output is ours to log.
struct stdio {
  kernel::unique_fd theirs;  ///< -1: inherited
  kernel::unique_fd ours;
};
/// Throws launch_failure.
stdio open_stdio(const output&);

/// Whom the spec's workers are to be. Looked up once a program, as the databases may be far away.
/// Throws launch_failure.
kernel::credentials find_credentials(const spec&);

/// The file that the spec's workers are started from. Throws launch_failure: no such program in
/// PATH.
kernel::pinned_program find_program(const spec&);

/// What a command is given beside its spec.
struct command_surroundings {
  kernel::credentials who;
  const kernel::pinned_program* program = nullptr;     ///< null: looked up now
  std::vector<std::pair<std::string, int>> listeners;  ///< in the order of LISTEN_FDS
  std::vector<std::pair<std::string, int>> stored;     ///< behind them
  std::string notify_socket;
  std::optional<unsigned> slot;  ///< none: it is no worker
  int in = -1, out = -1, err = -1;
  int ready = -1;        ///< for spec::ready_descriptor
  rlimit descriptors{};  ///< the limit from before we raised ours
};
/// Throws launch_failure: an unknown limit, listener, or no such program in PATH.
launch_plan plan_command(const spec&, const command_surroundings&);

/// A mold of `program`, with `socket` as its descriptor 3.
/// `ends_with_us`: it, and its workers, are killed when this process ends.
launch_plan plan_mold(int program, std::vector<std::string> arguments, int socket,
                      const rlimit& descriptors, bool ends_with_us);

}  // namespace supervisor
