// How a process ended, and why.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "supervisor/time.hpp"

namespace supervisor {

/// How a process ended, as waitid(2) tells it: `exit 9` is not `SIGKILL`.
/// `lost` is when somebody else in the program took the status (waitpid(-1), SIGCHLD ignored).
class exit_status {
 public:
  /// Who ended it: itself, a signal; `lost`: nobody knows.
  enum class kind : std::uint8_t { exited, signalled, lost };

  exit_status() = default;
  /// It left by itself, with this code.
  static exit_status exited(int code) { return {kind::exited, code, false}; }
  /// This signal ended it; `core`: and left a core dump.
  static exit_status signalled(int number, bool core = false) {
    return {kind::signalled, number, core};
  }
  /// Its status is not known.
  static exit_status lost() { return {}; }

  /// Which of the three.
  kind how() const noexcept { return kind_; }
  /// Exit 0.
  bool success() const noexcept { return kind_ == kind::exited && value_ == 0; }
  /// The exit code, where the process exited.
  std::optional<int> code() const noexcept;
  /// The signal, where one ended it.
  std::optional<int> signal() const noexcept;
  /// A signal ended it, and there is a core dump.
  bool core_dumped() const noexcept { return core_; }
  /// "exit 70", "SIGKILL", "SIGSEGV (core dumped)", "status lost".
  std::string str() const;

  friend bool operator==(const exit_status&, const exit_status&) = default;

 private:
  exit_status(kind k, int value, bool core) : kind_(k), core_(core), value_(value) {}

  kind kind_ = kind::lost;
  bool core_ = false;
  int value_ = 0;
};

/// Why a process is gone: what the supervisor knows beyond the status.
enum class exit_cause : std::uint8_t {
  none,             ///< it lives
  finished,         ///< it left by itself with exit 0
  crash,            ///< it left by itself otherwise: a code, or a signal of its own doing
  boot_timeout,     ///< not ready within the boot deadline
  launch_failure,   ///< it never ran: see launch_error
  recycled,         ///< ended to be replaced by a fresh one (prefork restart SLOT)
  scaled_down,      ///< the pool shrank
  replaced,         ///< a rollout put a new generation in its place
  stopped,          ///< its pool was stopped
  hang,             ///< it did not answer, and was ended
  request_timeout,  ///< one of its requests did not end, and it was ended
  probe,            ///< it failed a liveness probe, and was ended
  out_of_memory,    ///< the kernel ended it for memory
  dependency,       ///< it left by itself while what its pool depends on was not there
  killed,           ///< a stranger's signal (TERM, KILL and the like that we did not send)
  lost,             ///< status unknown
};
/// "scaled_down"; parse_exit_cause() is the way back.
std::string_view to_string(exit_cause) noexcept;
/// The cause of that name; empty where there is none.
std::optional<exit_cause> parse_exit_cause(std::string_view) noexcept;

/// Why a process could not be started.
struct launch_error {
  std::string stage;  ///< "clone", "chdir", "setuid", "stdio", "exec", "mold", ...
  int error = 0;      ///< errno
  std::string what;   ///< what it was about: a path, a user, a limit
  /// "exec /usr/bin/nope: No such file or directory"
  std::string str() const;
};

/// Everything known about a process that is gone; complete once it is reaped and its last output
/// was collected (or the deadline for that passed).
struct exit_report {
  pid_t pid = -1;                      ///< -1 when it never ran
  exit_status status;                  ///< how it ended
  std::optional<launch_error> launch;  ///< set when it never ran
  duration uptime{};                   ///< from its start to its end
  duration user_time{};                ///< CPU seconds in user mode
  duration system_time{};              ///< CPU seconds in the kernel
  std::int64_t max_rss_kib = 0;        ///< the most memory it had resident
  std::string last_output;             ///< the last lines it wrote, at most 4 KiB
  std::string last_work;  ///< of a function worker: "GET /crash, 1.2 s in"; the request it died in
  std::string failure;    ///< of a function worker: what the exception said that ended it
};

}  // namespace supervisor
