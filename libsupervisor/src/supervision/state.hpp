// The state of a pool: plain data, and the fold of the pool's events.
//
// Nothing changes it but apply(), called for each event that the journal records. So what is
// written here is true at every suspension, a sequence can be started from any such value, and a
// pool can be rebuilt from its events alone.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <list>
#include <string>
#include <vector>

#include "supervisor/exit_report.hpp"
#include "supervisor/journal.hpp"
#include "supervisor/restart.hpp"
#include "supervisor/rollout.hpp"
#include "supervisor/time.hpp"

namespace supervisor {

/// Where a slot's sequence stands.
enum class phase : std::uint8_t {
  waiting,      ///< to be started as soon as its program and the pool's start budget allow
  backing_off,  ///< the same, not before `deadline`
  launching,    ///< the host was asked for a child
  starting,     ///< it exists; to be ready by `deadline`
  ready,
  stopping,  ///< its stop ladder runs; the next step is due at `deadline`
  finished,  ///< at rest: it has done what it was for
  given_up,  ///< at rest: it failed too often
  gone,      ///< it will not start again
};

struct slot_state {
  std::uint64_t id = 0;  ///< never reused within a pool
  unsigned number = 0;
  std::uint64_t generation = 0;
  /// Set while this slot is on trial: the id of the slot whose place it takes once it is ready.
  std::uint64_t replaces = 0;
  exit_cause retiring = exit_cause::none;  ///< set once it is to leave for good

  phase now = phase::waiting;
  time_point deadline = never;  ///< its meaning is the phase's
  std::uint64_t launches = 0;   ///< names the child: child_key::launch
  std::uint64_t child = 0;      ///< the host's id of it
  pid_t pid = 0;
  time_point started_at{};
  time_point ready_at{};   ///< the epoch: it was not ready
  std::string status;      ///< its own words
  bool reloading = false;  ///< it says so, and serves meanwhile
  unsigned reloads = 0;    ///< that it has begun
  exit_cause stopped_for = exit_cause::none;
  unsigned step = 0;        ///< of the stop ladder
  unsigned lot = 0;         ///< recycle_facts::lot
  std::uint64_t spent = 0;  ///< the event by which a fresh worker is to take its place
  unsigned at_once = 0;     ///< with `spent`: so many of the pool may be replaced at a time
  bool ill = false;         ///< a probe says so

  unsigned failures = 0;           ///< in a row
  duration last_delay{};           ///< before its last start, or the next
  std::vector<time_point> window;  ///< of the failures that its policy may still count
  bool half_open = false;          ///< its starts are trials
  bool escalates = false;          ///< given up, it takes its pool along
  std::uint64_t restarts = 0;
  exit_cause last_cause = exit_cause::none;  ///< none: it never exited
  exit_status last_exit;
  std::string last_failure;  ///< where it could not be launched: why
  wall_time last_exit_at{};

  std::uint64_t last_event = 0;  ///< the cause of what follows
  bool was_ready() const noexcept { return ready_at != time_point{}; }
  /// It keeps its place, and is started again when somebody asks.
  bool rests() const noexcept { return now == phase::finished || now == phase::given_up; }
  /// It serves, or has done what it was for.
  bool arrived() const noexcept { return now == phase::ready || now == phase::finished; }
  /// It keeps its place, and is not to leave.
  bool stays() const noexcept { return retiring == exit_cause::none && !replaces; }
  bool on_trial() const noexcept { return retiring == exit_cause::none && replaces; }
  friend bool operator==(const slot_state&, const slot_state&) = default;
};

/// The last exit that speaks against a worker on trial.
struct trouble {
  std::uint64_t slot_id = 0;  ///< 0: none
  std::string text;
  friend bool operator==(const trouble&, const trouble&) = default;
};

/// Of the rollout under way; of the last one, its plan: the way back goes at the same pace.
struct rollout_state {
  rollout_plan plan;
  bool opened = false;             ///< its program is there
  std::uint64_t bake = 0;          ///< the event that began the bake; 0: the canary is not ready
  time_point bake_until = never;   ///< of that bake
  bool judged = false;             ///< at the end of that bake the health check has said yes
  bool baked = false;              ///< the canary has passed
  bool paused = false;             ///< nothing but a failure moves it
  time_point progress_by = never;  ///< given up unless something moves before
  std::string trouble;             ///< what speaks against it, slot by slot
  std::uint64_t trouble_event = 0;
  friend bool operator==(const rollout_state&, const rollout_state&) = default;
};

/// A worker that is gone, and whose report is yet to come.
struct departure {
  std::uint64_t slot_id = 0;
  std::uint64_t launch = 0;
  unsigned slot = 0;
  std::uint64_t generation = 0;
  std::uint64_t event = 0;  ///< that told of its end
  friend bool operator==(const departure&, const departure&) = default;
};

struct pool_state {
  unsigned version = 1;  ///< of this layout
  std::string name;
  unsigned target = 0;
  bool drained = false;   ///< no worker is wanted until resumed
  bool stopping = false;  ///< no worker is wanted any more
  bool quick = false;     ///< stop ladders are cut short
  bool stopped = false;
  bool escalated = false;  ///< a slot has given up for all
  std::string held;        ///< what it waits for: "db: ready"; empty: for nothing

  std::uint64_t generation = 0;  ///< the one wanted
  std::uint64_t committed = 0;   ///< the last one that the whole pool ran
  bool rolling = false;          ///< `generation` is on trial
  rollout_state roll;
  std::uint64_t last_generation = 0;
  std::deque<std::uint64_t> kept;      ///< committed once, latest first; what undo can go back to
  std::deque<rollout_record> history;  ///< the latest at the end
  trouble last_trouble;

  std::uint64_t last_slot_id = 0;
  start_budget budget;
  std::uint64_t last_command = 0;  ///< id of the event that last changed what is wanted
  /// Oldest first; a slot on trial stands behind the one it replaces.
  std::list<slot_state> slots;
  std::vector<departure> departures;

  /// How many workers are to be there.
  unsigned wanted() const noexcept { return drained || stopping ? 0 : target; }
  slot_state* find(std::uint64_t slot_id) noexcept;
  const slot_state* find(std::uint64_t slot_id) const noexcept;
  /// The one that keeps this number, rather than one that leaves or is on trial.
  const slot_state* keeper_of(unsigned number) const noexcept;
  friend bool operator==(const pool_state&, const pool_state&) = default;
};

/// No step of a quick stop's ladder takes longer.
inline constexpr duration quick_step = std::chrono::seconds(1);

/// Takes in one event of this pool, as recorded.
void apply(pool_state&, const event&);

/// "6 failures in 60 s, exit 70": of a slot that has given up.
std::string describe_surrender(const slot_state&);
/// "exit 70 (crash)", "exec /usr/bin/nope: No such file or directory (launch failure)".
std::string describe_exit(const slot_state&);

}  // namespace supervisor
