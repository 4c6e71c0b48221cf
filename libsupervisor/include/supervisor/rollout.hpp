// How a pool goes from one generation to the next, and what became of those before.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "supervisor/probe.hpp"
#include "supervisor/time.hpp"

namespace supervisor {

class pool;

/// What a health check says of a new generation.
struct health_verdict {
  /// `co_return errors == 0;`
  health_verdict(bool yes) : healthy(yes) {}
  /// No, and why.
  static health_verdict no(std::string reason) {
    health_verdict v(false);
    v.why = std::move(reason);
    return v;
  }

  bool healthy = true;  ///< it may go on
  std::string why;      ///< for people, where it may not
};

/// Asked whether the new generation does well, while its canary serves beside the old one. Has the
/// pool, whose status() tells by generation who is who. What it throws is a no. It is cancelled
/// when the rollout ends meanwhile.
using health_check = std::function<boost::asio::awaitable<health_verdict>(pool)>;

/// The numbers of a rollout.
struct rollout_plan {
  rollout_plan() = default;

  unsigned canary = 1;   ///< new workers that come first; 0: none, all are alike
  duration bake{};       ///< how long the canary serves before any old worker is told to leave
  duration ask_every{};  ///< while it does, how often the health check is asked; zero: none is
  unsigned batch = 1;    ///< after the canary, so many are replaced at a time
  unsigned max_unavailable = 0;  ///< 0: an old worker leaves when the new one is ready; n: it
                                 ///< leaves first, and no more than n are missing at a time
  /// Given up where nothing has moved for so long; zero: never. A pause does not count.
  duration progress_deadline = std::chrono::minutes(10);
  unsigned keep_generations = 1;  ///< kept after the rollout, for undo(); see doc/rollout.md
  friend bool operator==(const rollout_plan&, const rollout_plan&) = default;
};

/// How pool::roll() goes: a plan, and a health check. A class with builders, not an aggregate, so
/// that a temporary is safe in a co_await expression under g++ 12.
///
///     co_await web.roll(rollout_options().canary(2).bake(30s).batch(4));
struct rollout_options {
  rollout_options() = default;

  /// So many new workers come first; 0: none.
  rollout_options& canary(unsigned count) &;
  /// How long the canary serves, watched, before any old worker is told to leave.
  rollout_options& bake(duration) &;
  /// Asked when the canary is ready, then every so often, and a last time when the bake is over:
  /// the first no brings the old generation back. The next call follows when the one before has
  /// returned.
  rollout_options& healthy(health_check, duration every = std::chrono::seconds(1)) &;
  /// The same: every ready worker of the new generation has to pass the probe.
  rollout_options& healthy(::supervisor::probe, duration every = std::chrono::seconds(1)) &;
  /// After the canary, so many are replaced at a time.
  rollout_options& batch(unsigned count) &;
  /// 0: new ones come first; n: old ones leave first, at most so many at a time.
  rollout_options& max_unavailable(unsigned count) &;
  /// Give up where nothing moves for so long; zero: never.
  rollout_options& progress_deadline(duration) &;
  /// How many generations before the present one are kept for undo().
  rollout_options& keep_generations(unsigned count) &;

  /// canary() of a temporary.
  rollout_options&& canary(unsigned count) && { return std::move(canary(count)); }
  /// bake() of a temporary.
  rollout_options&& bake(duration d) && { return std::move(bake(d)); }
  /// healthy() of a temporary.
  rollout_options&& healthy(health_check check, duration every = std::chrono::seconds(1)) && {
    return std::move(healthy(std::move(check), every));
  }
  /// healthy() of a temporary.
  rollout_options&& healthy(::supervisor::probe check,
                            duration every = std::chrono::seconds(1)) && {
    return std::move(healthy(std::move(check), every));
  }
  /// batch() of a temporary.
  rollout_options&& batch(unsigned count) && { return std::move(batch(count)); }
  /// max_unavailable() of a temporary.
  rollout_options&& max_unavailable(unsigned count) && { return std::move(max_unavailable(count)); }
  /// progress_deadline() of a temporary.
  rollout_options&& progress_deadline(duration d) && { return std::move(progress_deadline(d)); }
  /// keep_generations() of a temporary.
  rollout_options&& keep_generations(unsigned count) && {
    return std::move(keep_generations(count));
  }

  rollout_plan plan;    ///< the numbers
  health_check health;  ///< empty: crashes alone speak against a new generation
  std::optional<::supervisor::probe> probe;  ///< what `health` asks, where that is a probe
};

/// Describes the first thing wrong with a plan, if anything is.
std::optional<std::string> find_fault(const rollout_options&);
/// "canary 1, bake 30 s, then 4 at a time".
std::string describe(const rollout_plan&);

/// How a rollout ended.
enum class rollout_end : std::uint8_t {
  running,     ///< it has not
  committed,   ///< every worker is of its generation
  failed,      ///< the generation before it serves
  aborted,     ///< by a command, which brought the generation before it back
  superseded,  ///< another one began before its end
};
/// "committed".
std::string_view to_string(rollout_end) noexcept;

/// A rollout as the pool remembers it; the first is the pool's beginning.
struct rollout_record {
  rollout_record() = default;

  std::uint64_t id = 0;                    ///< of the event that began it
  std::uint64_t generation = 0;            ///< to this one
  std::string what;                        ///< its workers are
  wall_time began{};                       ///< for people
  wall_time ended{};                       ///< the epoch: it has not
  rollout_end end = rollout_end::running;  ///< how it ended
  std::string why;                         ///< where it failed: slot by slot
  friend bool operator==(const rollout_record&, const rollout_record&) = default;
};

/// The rollout under way, as it is now.
struct rollout_status {
  std::string stage;  ///< "opening", "canary", "baking", "replacing", "going back"; empty:
                      ///< there is none
  std::uint64_t generation = 0;  ///< the new one
  std::uint64_t committed = 0;   ///< the old one, which a failure brings back
  unsigned replaced = 0;         ///< places that a worker of the wanted generation has
  unsigned wanted = 0;           ///< places there are
  bool paused = false;           ///< see pool::pause_rollout()
  duration bake_left{};          ///< where it bakes
  rollout_plan plan;             ///< its numbers
};

}  // namespace supervisor
