// prefork top: a live view of a master, in a terminal.
#pragma once

#include "options.hpp"

namespace app {

/// Shows it until q or a signal; asks the master once a period, and only while it runs. Returns the
/// exit code: 0 after q or INT, 128 and the number after another signal, 2 without a terminal.
int top(const control_request&);

}  // namespace app
