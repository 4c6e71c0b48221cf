// For the words that say how to do a run again.
#pragma once

#include <string>

namespace supervisor {

/// This program, as it was called.
std::string own_command();

}  // namespace supervisor
