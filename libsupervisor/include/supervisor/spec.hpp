// What a pool's workers are.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "supervisor/listener.hpp"
#include "supervisor/probe.hpp"
#include "supervisor/recycle.hpp"
#include "supervisor/restart.hpp"
#include "supervisor/time.hpp"

namespace supervisor {

/// A pool has no more workers than this: more is a slip of the hand.
inline constexpr unsigned most_workers = 10'000;

/// And no slot of it has more descriptors stored: they go to a worker in one message.
inline constexpr unsigned most_stored = 128;

/// When a worker counts as ready.
enum class readiness : std::uint8_t {
  automatic,  ///< when it says so, or, a command, when it has been alive for `alive_for` (default)
  notify,     ///< only when it says READY=1
  alive,      ///< when it has been alive for `alive_for`
  probe,      ///< when `ready_probe` passes
  newline,    ///< a command: when it writes a newline to `ready_descriptor`, as s6 has it
};

/// Where a worker's stdout or stderr goes.
struct output {
  /// Where it can go.
  enum class to : std::uint8_t { log, inherit, null, file };
  to where = to::log;  ///< log: line by line through the supervisor, with the slot's name
  std::string path;    ///< file: appended to; opened without waiting for a FIFO's peer
  friend bool operator==(const output&, const output&) = default;
};

/// A resource limit, setrlimit(2), in its units; RLIM_INFINITY is no limit.
struct limit {
  std::string
      name;  ///< "nofile", "nproc", "core", "as", "cpu", "data", "fsize", "memlock", "stack"
  std::uint64_t soft = 0;  ///< what counts
  std::uint64_t hard = 0;  ///< to where the worker may raise it
  friend bool operator==(const limit&, const limit&) = default;
};

/// One signal of a stop ladder; the next step follows when `wait` has passed. KILL is always last.
struct stop_step {
  int signal = SIGTERM;                      ///< to send
  duration wait = std::chrono::seconds(30);  ///< until the next step
  friend bool operator==(const stop_step&, const stop_step&) = default;
};

/// What has to be so of another pool before a worker is started.
enum class need : std::uint8_t {
  started,    ///< one of its workers lives
  ready,      ///< one of its workers is ready
  healthy,    ///< every wanted worker of it is ready
  completed,  ///< its workers have finished, each with exit 0
};
/// "ready"; parse_need() is the way back.
std::string_view to_string(need) noexcept;
/// The need of that name; empty where there is none.
std::optional<need> parse_need(std::string_view) noexcept;

/// One need of a pool.
struct requirement {
  /// `p` has to be `w`.
  requirement(std::string p, need w) : pool(std::move(p)), what(w) {}
  std::string pool;  ///< by name; one that is not there is not what is needed
  need what;         ///< of it
  friend bool operator==(const requirement&, const requirement&) = default;
};

/// How to make a worker, and how to treat it. A class with builders, not an aggregate, so that a
/// temporary is safe in a co_await expression under g++ 12.
struct spec {
  /// Workers that run the worker function registered under this name.
  explicit spec(std::string function_name);
  /// Workers that are a program: looked up in PATH where it has no slash.
  static spec command(std::string program, std::vector<std::string> arguments = {});

  /// One argument more.
  spec& arg(std::string value) &;
  /// One argument more.
  spec&& arg(std::string value) && { return std::move(arg(std::move(value))); }
  /// One variable more.
  spec& env(std::string name, std::string value) &;
  /// One variable more.
  spec&& env(std::string name, std::string value) && {
    return std::move(env(std::move(name), std::move(value)));
  }

  /// No worker is started while `pool` is not `what`; once it is, they start by themselves.
  spec& after(std::string pool, need what = need::ready) &;
  /// The same, of a temporary.
  spec&& after(std::string pool, need what = need::ready) && {
    return std::move(after(std::move(pool), what));
  }

  std::string function;                ///< set: a function worker
  std::string program;                 ///< set: a command
  std::vector<std::string> arguments;  ///< `{fd:NAME}` becomes the number of that listener

  std::vector<std::pair<std::string, std::string>> environment;  ///< added to the supervisor's own
  std::string directory;           ///< chdir(2) before it runs; empty: the supervisor's
  std::optional<mode_t> umask;     ///< empty: the supervisor's
  std::string user;                ///< name or number; empty: the supervisor's
  std::string group;               ///< name or number; empty: the supervisor's, or the user's own
  std::vector<limit> limits;       ///< the others are the supervisor's
  bool no_new_privileges = false;  ///< PR_SET_NO_NEW_PRIVS
  output out;                      ///< where stdout goes
  output err;                      ///< where stderr goes
  /// Names, in the order of LISTEN_FDS; empty: all that are open when the workers' generation
  /// begins.
  std::optional<std::vector<std::string>> listeners;

  readiness ready = readiness::automatic;               ///< when a worker counts as ready
  duration alive_for = std::chrono::milliseconds(500);  ///< see readiness
  std::optional<int> ready_descriptor;  ///< with readiness::newline: its number in the worker
  duration boot_timeout =
      std::chrono::seconds(60);      ///< not ready by then: ended, cause boot_timeout
  std::vector<stop_step> stop;       ///< the ladder, one step by default; after its last comes KILL
  duration hang_timeout{};           ///< zero: never asked; else see doc/workers.md
  duration request_timeout{};        ///< a worker::request may last so long; zero: for ever
  restart_policy restart;            ///< when the next one is started
  std::vector<requirement> needs;    ///< see after()
  start_rate starts;                 ///< how many starts the pool makes, whatever the reasons
  recycle_policy recycle;            ///< how long one lives at most
  std::optional<probe> ready_probe;  ///< with readiness::probe
  std::vector<probe> liveness;       ///< a worker that fails one of these is ended, cause `probe`

  /// So many descriptors are kept for a slot that its workers store (FDSTORE=1 of sd_notify(3)).
  unsigned fd_store_max = 16;

  /// A worker function, not a command.
  bool is_function() const noexcept { return !function.empty(); }
  /// Part by part.
  bool operator==(const spec&) const;
};

/// Describes the first thing wrong with a spec ("unknown limit 'nofiles'; known are ..."), if
/// anything is.
std::optional<std::string> find_fault(const spec&);
/// What this machine does not have, or does not let us do.
struct missing {
  std::string text;     ///< for people: what, and where it was looked for
  bool denied = false;  ///< there, but not for us
};
/// The first thing a spec names that is missing: a program, a user, a directory, or what a command
/// needs for those of `listeners` that it is to have and that are sharded. Asks the system, where
/// find_fault() only looks at the spec.
std::optional<missing> find_missing(const spec&, std::span<const listener_spec> listeners = {});

}  // namespace supervisor
