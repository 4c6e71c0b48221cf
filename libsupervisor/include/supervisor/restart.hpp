// When a worker that is gone is started again: a pure decision.
#pragma once

#include <cstdint>

#include "supervisor/exit_report.hpp"
#include "supervisor/time.hpp"

namespace supervisor {

/// Restarts are immediate at first, then back off exponentially with jitter, per slot.
struct restart_policy {
  unsigned immediate = 2;                   ///< failures in a row that are answered without delay
  duration base = std::chrono::seconds(1);  ///< the first delay after those; doubles each time
  duration cap = std::chrono::seconds(60);  ///< no delay is longer (before jitter)
  double jitter = 0.25;  ///< a delay is spread over [1 - jitter, 1 + jitter] of itself
  /// A worker that was ready for this long was healthy: its exit counts as no failure and forgets
  /// those before it.
  duration healthy_after = std::chrono::seconds(1);
};

/// What the decision looks at.
struct restart_facts {
  exit_cause cause = exit_cause::none;  ///< why it is gone
  bool was_ready = false;               ///< it served, once
  duration ready_for{};                 ///< how long it had been ready
  unsigned failures = 0;                ///< failures in a row before this exit
  std::uint64_t random = 0;             ///< uniformly random bits, for the jitter
};

/// When to start the next one.
struct restart_decision {
  unsigned failures = 0;  ///< failures in a row, this one included
  duration delay{};       ///< zero: at once
  friend bool operator==(const restart_decision&, const restart_decision&) = default;
};

/// Only what a program does itself before it is ready, or within `healthy_after` of it, counts as a
/// failure: a TERM or KILL from outside, a recycle, a scale-down never delay the next start.
restart_decision decide_restart(const restart_policy&, const restart_facts&) noexcept;

/// Bounds how many starts a whole pool makes, whatever the reasons: a token bucket.
struct start_budget {
  double tokens = 0;      ///< starts that may be made now
  time_point refilled{};  ///< when tokens was right
  friend bool operator==(const start_budget&, const start_budget&) = default;
};
/// Takes a token; returns when the start may happen: `now`, or the time a token will be there.
/// A pool of `target` workers may start max(100, 2 * target) at once and 100 a second thereafter.
time_point take_start(start_budget&, unsigned target, time_point now) noexcept;

}  // namespace supervisor
