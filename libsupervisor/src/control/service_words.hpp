// What a service manager (systemd) is told of a master, in the words of sd_notify(3): decisions.
#pragma once

#include <string>
#include <vector>

#include "supervisor/journal.hpp"
#include "supervisor/supervisor.hpp"

namespace supervisor {

/// How far it has been told.
struct service_words {
  bool ready = false;          ///< READY=1 was said, once
  bool reloading = false;      ///< RELOADING=1 was said, and READY=1 has not followed
  bool stopping = false;       ///< STOPPING=1 was said
  time_point leaving = never;  ///< when, as far as is known, nothing is left of it
  std::string status;          ///< the last STATUS=

  /// What is to be said of an event, at once; mostly nothing.
  std::string tell(const event&);
  /// What is to be said of the pools as they are now; what was said is not said again.
  std::string look(const std::vector<pool_status>&);

 private:
  std::string extend(const event&);
};

/// Whether the watchdog is fed: every pool that is to have workers has one that serves. Not asked
/// before all were ready once, nor at the end.
bool serves(const service_words&, const std::vector<pool_status>&) noexcept;

/// "2 of 2 workers ready"; with several pools "web 2/2, mail 0/1"; ", rolling to generation 3".
std::string status_line(const std::vector<pool_status>&);

}  // namespace supervisor
