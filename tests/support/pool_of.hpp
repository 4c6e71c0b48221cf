// A pool's state, written as it is read, and what is decided of it, in words.
#pragma once

#include <boost/test/unit_test.hpp>
#include <string>

#include "supervision/decide.hpp"

namespace test {

using namespace supervisor;
using namespace std::chrono_literals;

inline constexpr time_point noon{12h};

/// A pool at generation 1, written as it is read: pool(2).slot(0, ready).slot(1, ready)
struct pool_of {
  explicit pool_of(unsigned target) {
    state.name = "web";
    state.target = target;
    state.generation = state.committed = state.last_generation = 1;
    state.last_command = 90;
  }
  pool_of& slot(unsigned number, phase now, std::uint64_t generation = 1) {
    slot_state s;
    s.id = ++state.last_slot_id;
    s.number = number;
    s.now = now;
    s.generation = generation;
    s.last_event = 100 + s.id;
    state.slots.push_back(s);
    return *this;
  }
  pool_of& retiring(exit_cause why = exit_cause::scaled_down) {
    state.slots.back().retiring = why;
    return *this;
  }
  pool_of& replacing(std::uint64_t id) {
    state.slots.back().replaces = id;
    return *this;
  }
  pool_of& rolling(bool opened = true) {
    state.rolling = true;
    state.roll.opened = opened;
    state.roll.baked = true;
    state.generation = state.last_generation = 2;
    return *this;
  }
  /// Before the canary has passed.
  pool_of& canary(unsigned count, duration bake = {}) {
    rolling();
    state.roll.baked = false;
    state.roll.plan.canary = count;
    state.roll.plan.bake = bake;
    return *this;
  }
  pool_of& batch(unsigned count) {
    state.roll.plan.batch = count;
    return *this;
  }
  /// Old ones leave first.
  pool_of& missing(unsigned count) {
    state.roll.plan.max_unavailable = count;
    return *this;
  }
  pool_of& bakes(time_point until) {
    state.roll.bake = 95;
    state.roll.bake_until = until;
    return *this;
  }
  pool_of& with(bool pool_state::* flag) {
    state.*flag = true;
    return *this;
  }
  pool_of& trouble() {
    state.roll.trouble = "slot 0: exit 1 (crash)";
    state.roll.trouble_event = 99;
    return *this;
  }
  pool_state state;
};

/// "slot_added 3 number 1 gen 2 for 2", "slot_retiring 1 scaled_down", ...
inline std::string next(const pool_of& p, time_point now = noon) {
  auto e = next_event(p.state, now);
  if (!e) return "nothing";
  BOOST_TEST(e->pool == "web");
  BOOST_TEST(e->cause != 0u);
  auto id = std::to_string(e->slot_id);
  switch (e->kind) {
    case event_kind::slot_added:
      return "add " + id + " as " + std::to_string(e->slot) + " gen " +
             std::to_string(e->generation) + (e->number ? " for " + std::to_string(e->number) : "");
    case event_kind::slot_retiring:
      return "retire " + id + " " + std::string(to_string(e->why));
    case event_kind::rollout_committed:
      return "commit " + std::to_string(e->generation);
    case event_kind::rollout_baking:
      return "bake " + std::to_string((e->deadline - now) / 1s);
    case event_kind::rollout_baked:
      return "baked";
    case event_kind::rollout_failed:
      return "give up " + std::to_string(e->generation) + ": " + e->text;
    case event_kind::pool_stopped:
      return "stopped";
    default:
      return "?";
  }
}

inline constexpr auto ready = phase::ready;
inline constexpr auto starting = phase::starting;

}  // namespace test
