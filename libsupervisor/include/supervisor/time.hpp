// Time as supervision sees it.
#pragma once

// Of <chrono> only its clocks, times and durations are needed here. Its calendar and streams, which
// C++20 has put into the same header, take a compiler longer than all of our own headers together.
#include <version>
#if defined(__GLIBCXX__) && __has_include(<bits/chrono.h>)
#include <bits/chrono.h>
#else
#include <chrono>
#endif

namespace supervisor {

/// Monotonic time, counted by the host: CLOCK_MONOTONIC for real, a virtual clock in simulation.
/// Every deadline is one of these; the wall clock may jump and decides nothing.
using time_point = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;
using duration = std::chrono::nanoseconds;
/// Wall-clock time, for people who read a log.
using wall_time = std::chrono::time_point<std::chrono::system_clock, std::chrono::nanoseconds>;

/// The deadline of what has none.
inline constexpr time_point never = time_point::max();

/// `wait` after `now`; never, where that is beyond all time.
inline time_point later(time_point now, duration wait) noexcept {
  return wait < never - now ? now + wait : never;
}

}  // namespace supervisor
