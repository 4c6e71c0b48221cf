// Which of the workers that share a listener is to have the next connection.
//
// The kernel gives it to one that sleeps; so in a burst the one that is awake first would take all,
// and keep them. A worker that has more than its share steps out of the line for a moment, and the
// next arrivals wake its siblings. An idle or a sparse pool never comes to that.
#pragma once

#include <algorithm>
#include <chrono>

namespace supervisor {

/// Open connections: of one worker, and of all of its kind with it.
struct share_of_load {
  unsigned own = 0;
  unsigned all = 0;
  unsigned workers = 1;
};

/// How far above the mean a worker may be, at the least; beyond 32 connections each a sixteenth.
inline constexpr unsigned least_slack = 2;

/// Would one connection more be too much for this one?
constexpr bool is_too_much(const share_of_load& load) noexcept {
  const unsigned slack = std::max(least_slack, load.all / load.workers / 16);
  return load.own + 1 > slack && (load.own + 1 - slack) * load.workers > load.all + 1;
}

/// Remembers whether stepping aside is of any use. While the siblings do not come, a worker takes
/// one connection a moment; after many such moments it takes all that come, for a while.
class balance {
 public:
  using time = std::chrono::steady_clock::time_point;
  static constexpr unsigned most_moments = 64;
  static constexpr auto rest = std::chrono::seconds(5);

  bool worth_asking(time now) const noexcept { return now >= not_before_; }
  /// After a moment aside: has a sibling taken its part?
  void answered(bool taken, time now) noexcept {
    in_vain_ = taken ? 0 : in_vain_ + 1;
    if (in_vain_ < most_moments) return;
    in_vain_ = 0;
    not_before_ = now + rest;
  }

 private:
  unsigned in_vain_ = 0;
  time not_before_{};
};

}  // namespace supervisor
