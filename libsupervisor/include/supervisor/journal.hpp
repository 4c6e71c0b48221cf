// The causal event log: every transition, when, of what, and because of which event.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "supervisor/exit_report.hpp"
#include "supervisor/restart.hpp"
#include "supervisor/time.hpp"

namespace supervisor {

/// How grave, as syslog(3) has it.
enum class severity : std::uint8_t { debug, info, notice, warning, error };
/// "warning"; parse_severity() is the way back.
std::string_view to_string(severity) noexcept;
/// The severity of that name; empty where there is none.
std::optional<severity> parse_severity(std::string_view) noexcept;

struct rollout_plan;  // supervisor/rollout.hpp

/// What happened. In brackets the fields of `event` that carry it beside its subject.
/// The state of a pool is the fold of its events (apply() in src/supervision/state.hpp).
enum class event_kind : std::uint8_t {
  supervisor_started,    ///< [text: name and version]
  supervisor_stopping,   ///< [text: how; deadline: serves on until then]
  supervisor_stopped,    ///< [count: exit code]
  supervisor_abandoned,  ///< destroyed while children live [count, text: who they are]
  listener_opened,       ///< [text: name=address]
  listener_closed,       ///< for workers of later generations [text: name=address]
  signal_received,       ///< [count, number: signal, pid: sender or one of the below, uid]
  signal_unhandled,      ///< [number, pid, uid]
  handler_failed,        ///< [number, text: what the exception says]
  command_received,      ///< a control command [text: verb, arguments, who]
  pool_opened,           ///< [count: target, generation, text: what its workers are]
  pool_resized,          ///< [count: new target]
  pool_drained,          ///< all workers are to leave, the pool stays (WINCH)
  pool_resumed,          ///< the end of that; slots at rest start again
  pool_stopping,         ///< [count: 1 = quick]
  pool_stopped,          ///< nothing of it is left
  pool_held,             ///< no worker is started for now [text: what is not there: "db: ready"]
  pool_released,         ///< the end of that
  pool_escalated,        ///< one of its slots has given up, for all [text: which, and why]
  rollout_started,       ///< [generation: the new one, count: 1 = one that was kept, plan; text:
                         ///< what its workers are]
  program_opened,        ///< the new generation's program is there (its mold is up) [generation]
  rollout_baking,        ///< its canary is ready, and watched [generation, deadline: its end]
  rollout_judged,        ///< by its health check [generation, count: 1 = healthy, text: why not]
  rollout_baked,         ///< its canary has passed [generation]
  rollout_paused,        ///< nothing but a failure moves it [generation]
  rollout_resumed,       ///< the end of that [generation]
  rollout_committed,     ///< [generation]
  rollout_failed,        ///< [generation: the one given up, count: 1 = aborted, text: why]
  slot_added,            ///< [generation; number = the slot this one replaces, by id, or 0]
  slot_retiring,         ///< to leave for good [exit_cause]
  slot_removed,
  worker_launched,  ///< the host was asked for a child [child, deadline: when the start budget is
                    ///< full, number: its lot, see recycle.hpp]
  worker_started,   ///< it exists [pid]
  worker_ready,
  worker_status,     ///< STATUS= of sd_notify [text]
  worker_reloading,  ///< RELOADING=1: it reads its settings anew, and serves on [count: how many
                     ///< times it has begun to]
  worker_reloaded,   ///< READY=1 after that
  worker_stored,     ///< FDSTORE=1 or FDSTOREREMOVE=1, or the other side of what it had stored is
                     ///< gone [text: what came of it; count: so many are kept for its slot, number:
                     ///< so many were refused]
  worker_spent,   ///< a fresh one is to take its place [text: why; count: so many of its pool may
                  ///< be replaced at once]
  worker_ailing,  ///< a liveness probe failed [text: which, and what it found; count: failures
                  ///< in a row, number: so many end the worker]
  worker_recovered,  ///< that probe passes again [text: which]
  worker_stopping,   ///< its stop ladder begins [exit_cause, number: signal, deadline; text: the
                     ///< request in which it hangs]
  worker_extended,   ///< it asked for more time to boot or to leave, and has it [deadline]
  worker_escalated,  ///< the ladder's next step [count: step, number: signal, deadline; text: what
                     ///< it was at]
  worker_signalled,  ///< a command or the policy sends it a signal [number]
  worker_exited,     ///< [exit: status, exit_cause, count: failures in a row, number: failures to
                     ///< remember, next, deadline: next start or never, launch: set when it never
                     ///< ran; text: the request it died in, or what the exception said that ended
                     ///< it]
  worker_reported,   ///< it is reaped [report]
  mold_started,      ///< [pid, generation]
  mold_exited,       ///< [exit, exit_cause: stopped = by us, hang; generation, text]
  group_opened,      ///< [count: children, text: strategy]
  group_started,     ///< all its children have
  group_restarting,  ///< because of this child [member, count: restarts in the period, text: its
                     ///< end]
  group_stopping,    ///< [count: ending, number: by failure, a command, significant children; text]
  group_hastened,    ///< its stop is to be quick: no coroutine has more than a second any more
  group_stopped,     ///< nothing of it runs
  group_released,    ///< it ends, and its children go on without it
  member_added,      ///< [member, count: restart type, number: 1 = significant, text: its kind]
  member_starting,   ///< told to start [member]
  member_started,    ///< [member]
  member_stopping,   ///< told to leave [member; deadline: of a coroutine, when it is given up]
  member_ended,  ///< [member, count: ending, number: 1 = it has not, and is given up, text: how]
  member_rests,  ///< not started again [member]
  member_stop_asked,   ///< by a command [member]
  member_start_asked,  ///< by a command [member]
  member_removed,      ///< [member]
  note,                ///< a policy's own words [text]
  // Saved states have these by their numbers: what is new goes to the end.
  upgrade_started,      ///< a new program is tried
  upgrade_failed,       ///< nothing has changed [text: why]
  upgrade_committed,    ///< by the new program [text: which]
  upgrade_rolled_back,  ///< by the program before, which goes on [text: why]
};
/// Who sent a signal, where that is no process, or not one.
inline constexpr pid_t the_kernel = -1, several_senders = -2;

/// "worker.ready", "pool.resized", ...
std::string_view to_string(event_kind) noexcept;
/// By its kind, and by how bad what it tells of is.
severity severity_of(const struct event&) noexcept;

/// One event. Fields that its kind does not use keep their defaults.
struct event {
  /// An event of that kind, of nobody, with nothing told.
  explicit event(event_kind k) : kind(k) {}

  std::uint64_t id = 0;     ///< counted from 1, set by the journal
  std::uint64_t cause = 0;  ///< id of the event that led to this one; 0: none, it came from outside
  time_point at{};          ///< set by the journal
  wall_time wall{};         ///< set by the journal
  event_kind kind;          ///< what happened

  // The subject: whom it happened to.
  std::string pool;              ///< empty: no pool's
  std::string group;             ///< empty: no group's
  std::string member;            ///< of the group; empty: the event is the group's own
  std::uint64_t slot_id = 0;     ///< never reused within a pool; 0: the event is not a slot's
  unsigned slot = 0;             ///< the slot's number
  std::uint64_t generation = 0;  ///< 0: of none
  std::uint64_t child = 0;       ///< the host's id of the child
  pid_t pid = 0;                 ///< 0: of none
  uid_t uid = 0;                 ///< of who sent a signal

  // What happened.
  std::int64_t count = 0;                     ///< see event_kind
  std::int64_t number = 0;                    ///< see event_kind
  time_point deadline = never;                ///< of what comes next
  exit_cause why = exit_cause::none;          ///< of an end
  exit_status exit;                           ///< of an end
  verdict next = verdict::again;              ///< what becomes of its slot
  std::optional<launch_error> launch;         ///< when it never ran
  std::shared_ptr<const exit_report> report;  ///< of worker_reported
  std::shared_ptr<const rollout_plan> plan;   ///< of rollout_started
  std::string text;                           ///< see event_kind
};

/// One line for people: "web.0 gen 1 pid 4711 exited: SIGKILL, killed; next start at once".
std::string describe(const event&, time_point now);

/// Gives each event its id and time and hands it to every sink, in order, at once. What a sink
/// records follows when every sink has the present event. Keeps nothing itself. Single-threaded.
class journal {
 public:
  /// What time it is, on both clocks.
  using clock = std::function<std::pair<time_point, wall_time>()>;
  /// Gets each event as it is recorded.
  using sink = std::function<void(const event&)>;
  /// An empty one; its first event has id 1.
  explicit journal(clock);
  journal(const journal&) = delete;

  /// The ids of what is recorded from now on come after this one: another process has given those.
  void go_on_after(std::uint64_t id) noexcept { last_ = id > last_ ? id : last_; }
  /// Records `e`; where e.cause is 0 the ambient cause is taken. Returns its id.
  std::uint64_t record(event e);
  /// A sink gets what is recorded from now on, for as long as what is returned lives. It must not
  /// throw.
  [[nodiscard]] std::shared_ptr<void> subscribe(sink);

  /// While it lives, events without a cause of their own get `cause`. For the part of a coroutine
  /// up to its first suspension; never held across one.
  class because {
   public:
    /// `cause`: the id of an event.
    because(journal& j, std::uint64_t cause) : journal_(j), before_(j.ambient_) {
      j.ambient_ = cause;
    }
    ~because() { journal_.ambient_ = before_; }
    because(const because&) = delete;

   private:
    journal& journal_;
    std::uint64_t before_;
  };
  /// The cause that an event without one gets; 0 where there is none.
  std::uint64_t ambient() const noexcept { return ambient_; }

 private:
  struct state;

  clock clock_;
  std::uint64_t last_ = 0;
  std::uint64_t ambient_ = 0;
  std::shared_ptr<state> state_;
};

}  // namespace supervisor
