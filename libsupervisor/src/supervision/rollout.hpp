// What a rollout does next, and what its events make of the state: pure functions.
//
// New workers of a rollout come as a canary first. By surge they are on trial for the places of old
// ones, and take none before the canary has passed; where old ones leave first (max_unavailable)
// they stand in the places of those at once. A rollout that fails goes the same way back: to the
// committed generation, without a canary.
#pragma once

#include <optional>
#include <vector>

#include "supervision/state.hpp"

namespace supervisor {

enum class rollout_stage : std::uint8_t {
  none,
  opening,     ///< its program is not there yet
  canary,      ///< its first workers are not ready yet
  baking,      ///< they are, and are watched
  replacing,   ///< the others follow
  going_back,  ///< it has failed, and some places are not yet of the committed generation
};
rollout_stage stage_of(const pool_state&) noexcept;
std::string_view to_string(rollout_stage) noexcept;

// Decisions, in the order in which the pool asks.

/// rollout_failed: something speaks against it, or nothing has moved for too long.
std::optional<event> give_rollout_up(const pool_state&, time_point now);
/// rollout_baking, rollout_baked
std::optional<event> advance_canary(const pool_state&, time_point now);
/// Whether one on trial that is ready may take its place.
bool may_take_over(const pool_state&, const slot_state&) noexcept;
/// Of a slot that is added now.
std::uint64_t generation_of_added(const pool_state&) noexcept;
/// Places that are kept free until the old worker is gone.
unsigned held_places(const pool_state&) noexcept;
/// slot_added or slot_retiring: the next place whose worker is to be of the wanted generation.
std::optional<event> replace_one(const pool_state&);
/// rollout_committed
std::optional<event> commit_rollout(const pool_state&);
/// When time alone changes what these decide; never: it does not.
time_point rollout_deadline(const pool_state&) noexcept;

/// A bake that waits for its health check.
bool awaits_verdict(const pool_state&) noexcept;
/// Whether this end says something of a program on trial; what comes from outside does not.
bool speaks_against(exit_cause why, unsigned failures) noexcept;

// The fold.

bool is_of_a_rollout(event_kind) noexcept;
void apply_to_rollout(pool_state&, const event&);
/// A worker on trial has ended in a way that speaks against it.
void take_trouble(pool_state&, const slot_state&, std::uint64_t event_id);

/// The record of the rollout that this event began.
const rollout_record* find_rollout(const pool_state&, std::uint64_t id) noexcept;

}  // namespace supervisor
