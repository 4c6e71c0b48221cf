// What a supervisor knows, as bytes: for the one that comes after it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "supervision/group_state.hpp"
#include "supervision/pool_keeper.hpp"
#include "supervision/state.hpp"

namespace supervisor {

/// One pool, and what its workers are, generation by generation.
struct saved_pool {
  pool_state state;
  program_specs specs;
};

/// Of a whole supervisor.
struct saved_supervisor {
  std::uint64_t last_event = 0;  ///< ids go on behind it
  std::vector<saved_pool> pools;
  std::vector<group_state> groups;
  bool stopping = false;
  bool quick = false;
  std::string beside;  ///< another room's, see supervisor::keep_beside()
};

/// One event since.
struct saved_step {
  event what{event_kind::note};
  std::shared_ptr<const spec> program;  ///< of rollout_started
  std::optional<std::string> beside;    ///< alone: the event is none
};

std::string write(const saved_supervisor&);
std::string write(const saved_step&);
// These throw std::runtime_error.
saved_supervisor read_supervisor(std::string_view bytes);
/// All, then what has changed since; there is one at least.
saved_supervisor read_supervisor(const std::vector<std::string>& parts);
saved_step read_step(std::string_view bytes);

/// Brings it up to date.
void take_in(saved_supervisor&, const saved_step&);

}  // namespace supervisor
