// What a keeper does about the death of a master, and about a new program: pure decisions.
#pragma once

#include <chrono>

#include "supervisor/time.hpp"

namespace supervisor {

/// A master that lived so long with everything in its hands was well.
inline constexpr duration master_is_well_after = std::chrono::seconds(1);
/// A master that has not everything in its hands by then is ended.
inline constexpr duration master_start_limit = std::chrono::seconds(30);

/// A new program that is not prepared to go on by then is ended.
inline constexpr duration candidate_limit = std::chrono::seconds(10);
/// A master that was told to leave for another has left by then, or is ended.
inline constexpr duration leave_limit = std::chrono::seconds(10);
/// A new program that lived so long with everything in its hands is what masters are of from then
/// on. Until then it is on trial.
inline constexpr duration trial = std::chrono::minutes(1);
/// How often a master on trial has to say that it is well.
inline constexpr duration trial_step = std::chrono::seconds(10);

struct next_master {
  unsigned deaths = 0;   ///< in a row, this one included
  duration delay{};      ///< until the next start
  bool go_back = false;  ///< to the program before
};

enum class trial_verdict { ask, hung, proven };

/// At each step of a trial.
constexpr trial_verdict judge_trial(duration settled_for, bool has_answered) noexcept {
  if (!has_answered) return trial_verdict::hung;
  return settled_for >= trial ? trial_verdict::proven : trial_verdict::ask;
}

/// `deaths`: in a row, before this one. `settled_for`: 0 where it never had everything.
constexpr next_master after_death(unsigned deaths, duration settled_for,
                                  bool on_trial = false) noexcept {
  if (on_trial) return {0, {}, true};
  constexpr unsigned at_once = 2;
  constexpr duration first = std::chrono::seconds(1), most = std::chrono::seconds(60);
  next_master next;
  next.deaths = settled_for >= master_is_well_after ? 1 : deaths + 1;
  if (next.deaths <= at_once) return next;
  auto doublings = next.deaths - at_once - 1;
  next.delay = doublings < 6 ? std::min(first * (1 << doublings), most) : most;
  return next;
}

}  // namespace supervisor
