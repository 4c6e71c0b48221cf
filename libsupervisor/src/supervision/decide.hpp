// The decisions of a pool and its slots: pure functions from state to a small value.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "host/host.hpp"
#include "supervision/state.hpp"
#include "supervisor/supervisor.hpp"

namespace supervisor {

// The pool.

/// What the pool does next, as the event that records it; nothing while it has to wait.
///   slot_added, slot_retiring, pool_escalated, pool_stopped, and those of supervision/rollout.hpp
/// One step at a time, so that each sees the state after the one before.
std::optional<event> next_event(const pool_state&, time_point now);
/// When time alone changes what next_event() says.
time_point next_look(const pool_state&) noexcept;
/// What is wrong with a target, for people.
std::optional<std::string> find_fault(unsigned target);

/// Every wanted worker is ready, backing off or at rest, none is leaving, nothing is being rolled
/// out.
bool settled(const pool_state&);
/// The same of all that is not the rollout's: what was asked for while it goes on.
bool settled_beside_rollout(const pool_state&);
unsigned count_ready(const pool_state&);
/// Somebody is of that generation, or may be started from it: its program stays open.
bool needs_program(const pool_state&, std::uint64_t generation) noexcept;

// A slot.

/// When a worker counts as ready without having said so; never: it has to.
time_point ready_unasked(const spec&, const slot_state&) noexcept;

/// Whether its own word makes it ready.
/// Whether a worker that asks for more time (EXTEND_TIMEOUT_USEC) gets it: to boot, or to leave,
/// but not in a stop that is to be quick, nor once it is stuck.
bool may_extend(const pool_state&, const slot_state&) noexcept;
bool heeds_ready(const spec&) noexcept;

struct stop_order {
  int signal = 0;
  time_point deadline = never;  ///< of the next step
  friend bool operator==(const stop_order&, const stop_order&) = default;
};
/// Step `step` of the stop ladder; past its end it is KILL, and no more.
stop_order ladder_step(const spec&, exit_cause why, unsigned step, bool quick, time_point now);

/// Why a child is gone. `seen`: what the host knows of it, null where it no longer has it;
/// `stopped_for`: why we stopped it, if we did.
exit_cause classify(const child_view* seen, exit_cause stopped_for) noexcept;
/// The same, of a worker whose pool lacks what it needs: that it failed is no wonder.
exit_cause excuse(exit_cause) noexcept;

/// What the decision on a restart looks at, from the slot.
restart_facts facts_of(const slot_state&, time_point now);
/// Whether a slot whose worker has just exited stays. One that leaves does not; one on trial that
/// failed does only where there is no way back: when a rollout is being undone.
bool stays_after(const pool_state&, const slot_state&, exit_cause why, unsigned failures) noexcept;

/// Whether `pool` is what is needed of it; null: there is none.
bool met(need, const pool_state* pool) noexcept;

// What people see.

/// "function serve", "command /usr/bin/server --fd 3".
std::string describe_program(const spec&);

/// `sample` asks for what a child shows of itself, by the host's id of it.
using sampler = std::function<std::optional<scoreboard>(std::uint64_t child)>;
pool_status describe_pool(const pool_state&, time_point now, const sampler& sample);

}  // namespace supervisor
