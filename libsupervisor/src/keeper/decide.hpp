// What a keeper does about the death of a master: a pure decision.
#pragma once

#include <chrono>

#include "supervisor/time.hpp"

namespace supervisor {

/// A master that lived so long with everything in its hands was well.
inline constexpr duration master_is_well_after = std::chrono::seconds(1);
/// A master that has not everything in its hands by then is ended.
inline constexpr duration master_start_limit = std::chrono::seconds(30);

struct next_master {
  unsigned deaths = 0;  ///< in a row, this one included
  duration delay{};     ///< until the next start
};

/// `deaths`: in a row, before this one. `settled_for`: 0 where it never had everything.
constexpr next_master after_death(unsigned deaths, duration settled_for) noexcept {
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
