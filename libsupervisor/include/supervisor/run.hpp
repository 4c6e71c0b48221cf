// From main() to a running policy.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "supervisor/journal.hpp"
#include "supervisor/supervisor.hpp"

namespace supervisor {

/// How the log is written; it is a sink of the journal.
struct log_options {
  severity level = severity::info;  ///< what is less grave is left out
  bool json = false;                ///< JSON lines instead of text
  std::string file;                 ///< appended to, reopened on USR1; empty: stderr
};

/// What a verb of the application's own answers.
struct verb_answer {
  verb_answer() = default;
  outcome settled;   ///< how it ended; its error chooses the client's exit code
  std::string text;  ///< for people
};
/// Carries out such a verb. What it records before it returns has the command as its cause;
/// `argument` is the client's. The client that leaves cancels the waiting.
using verb_handler =
    std::function<boost::asio::awaitable<verb_answer>(supervisor&, std::string argument)>;

/// Of a master, beside what its policy does.
struct run_options {
  std::string name;     ///< of this master; empty: the program's file name
  std::string control;  ///< path of the control socket; empty: none
  std::string pidfile;  ///< written when the policy runs, removed at the end; empty: none
  log_options log;      ///< how it writes its log
  /// Where a keeper is above: the master's death is the end of all. Else the keeper starts another,
  /// which goes on with the same workers.
  bool die_with_master = false;
  std::map<std::string, verb_handler> verbs;  ///< more commands of the control socket: POST /NAME
};

/// Where the control socket of the master `name` is by default: below XDG_RUNTIME_DIR, else
/// /run/prefork.
std::string default_control_path(std::string_view name);

/// The listening sockets that a service manager has passed to this process (LISTEN_FDS, see
/// sd_listen_fds(3)), by the names it gives them; "http", "http2" and so on where it gives none
/// that could be one. listen() takes such a socket where name and address are the same.
std::vector<listener_spec> inherited_listeners();

/// Takes the mold's role if this process was started for it, and returns its exit code; must be the
/// first thing in main(), before any thread, io_context or file is made. Empty in any other
/// process.
std::optional<int> mold_role(int argc, char** argv, std::span<const worker_function> functions);

/// Has run() below kept by this process, the main one, in a process of its own: signals are handed
/// on to it with their senders, its exit code or signal is this process's, and whatever way either
/// ends, nothing that it started is left. Must come right after mold_role(), and only where run()
/// follows. The new process reaps every child, for its descendants' children fall to it: one that
/// the policy makes by itself, and not as a pool or a group, may be reaped before it is waited for.
/// Returns nothing in the new process, which goes on; in the keeper the exit code when all is over.
std::optional<int> keeper_role(int argc, char** argv);

/// The process that is signalled, and whose end is the end of all: the keeper of this one, or this
/// one.
pid_t main_pid() noexcept;

/// Runs `decide` as the supervisor of this process until it returns; its value is the exit code.
/// Takes the mold's role where this process was started for it. What the policy leaves running is
/// stopped by the ladder and joined. An exception that leaves the policy is logged: exit code 1.
///
/// INT, QUIT or TERM that the policy neither handles nor waits for cancels it (terminally: what it
/// awaits throws operation_aborted), everything is stopped in order - quickly for QUIT - and the
/// exit code is 128 and the number, unless the policy catches that and returns its own. A second
/// one kills what is left; it is reaped all the same.
int run(int argc, char** argv, const policy& decide, std::vector<worker_function> functions = {},
        run_options options = {});

}  // namespace supervisor
