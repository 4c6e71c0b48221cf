// A length of time in words.
#pragma once

#include <string>

#include "supervisor/time.hpp"

namespace supervisor {

/// "850 ms", "7 s", "2.5 s", "3 min 20 s", "2 h 5 min".
std::string describe(duration);

}  // namespace supervisor
