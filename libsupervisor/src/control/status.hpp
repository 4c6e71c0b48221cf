// What the control socket tells, as JSON.
#pragma once

#include <sys/types.h>

#include <boost/json/fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "supervisor/group.hpp"
#include "supervisor/supervisor.hpp"

namespace supervisor {

/// How the last upgrade went.
struct upgrade_status {
  std::string end;  ///< "committed", "failed", "rolled_back"
  std::string why;
};

/// The master itself. The main pid is the one that people signal.
struct master_status {
  std::string name;
  pid_t pid = 0;
  pid_t main_pid = 0;
  std::string version;
  duration uptime{};
  std::optional<upgrade_status> upgrade;
  std::uint64_t strangers_reaped = 0;  ///< children that it has not made
};

boost::json::object to_json(const slot_status&);
boost::json::object to_json(const pool_status&);
/// The answer to GET /status.
boost::json::object to_json(const master_status&, const std::vector<pool_status>&,
                            const std::vector<group_status>&);

/// The answer to GET /rollout: what is under way, and what was.
boost::json::object history_to_json(const std::vector<pool_status>&);

/// As many ready workers as wanted, in every pool that is not drained.
bool all_ready(const std::vector<pool_status>&) noexcept;

}  // namespace supervisor
