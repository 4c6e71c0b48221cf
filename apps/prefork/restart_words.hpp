// How a restart policy is written down: "transient,backoff=1s..60s,give-up=5/60s".
#pragma once

#include <string>
#include <vector>

#include "supervisor/restart.hpp"

namespace app {

/// One text is the policy itself; one that begins with causes and a colon, such as
/// "exit=64..78+oom:give-up", is a rule of it. They may come in any order. Throws
/// std::invalid_argument.
supervisor::restart_policy restart_of(const std::string& option,
                                      const std::vector<std::string>& texts);
/// "20" a second, or "20/50": at most 50 at once.
supervisor::start_rate start_rate_of(const std::string& option, const std::string& text);

}  // namespace app
