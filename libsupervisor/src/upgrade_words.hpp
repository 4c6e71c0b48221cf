// How an upgrade went: for the log, the status, and who waits for it.
#pragma once

#include <string>

#include "control/command.hpp"
#include "control/status.hpp"
#include "keeper/wire.hpp"
#include "supervisor/exit_report.hpp"
#include "supervisor/journal.hpp"

namespace supervisor {

exit_status status_of(const keeper_wire::process_end&);

/// Why the program before goes on; empty where it does not.
std::string words_of_upgrade(const keeper_wire::record& upgraded);
upgrade_status status_of_upgrade(const keeper_wire::record& upgraded);
event event_of_upgrade(const keeper_wire::record& upgraded);
/// Of the keeper itself.
std::string words_of_renewal(const keeper_wire::record& renewed);
/// What the client is told.
reply answer_of_upgrade(std::string why);

}  // namespace supervisor
