// Events as decisions make them: of whom, and because of what.
#pragma once

#include "supervision/state.hpp"

namespace supervisor {

inline event about(event_kind kind, const pool_state& p, const slot_state& s, std::uint64_t cause) {
  event e{kind};
  e.pool = p.name;
  e.slot_id = s.id;
  e.slot = s.number;
  e.generation = s.generation;
  e.pid = s.pid;
  e.child = s.child;
  e.cause = cause;
  return e;
}

inline event of_pool(event_kind kind, const pool_state& p, std::uint64_t cause) {
  event e{kind};
  e.pool = p.name;
  e.generation = p.generation;
  e.cause = cause;
  return e;
}

inline event retire(const pool_state& p, const slot_state& s, exit_cause why, std::uint64_t cause) {
  auto e = about(event_kind::slot_retiring, p, s, cause);
  e.why = why;
  return e;
}

/// Puts a fresh worker of `generation` on trial for the place of `old`.
inline event successor_of(const pool_state& p, const slot_state& old, std::uint64_t generation) {
  auto e = of_pool(event_kind::slot_added, p, p.last_command);
  e.slot_id = p.last_slot_id + 1;
  e.slot = old.number;
  e.number = static_cast<std::int64_t>(old.id);
  e.generation = generation;
  return e;
}

}  // namespace supervisor
