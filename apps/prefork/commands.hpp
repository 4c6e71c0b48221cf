// What each verb of the command line does.
#pragma once

#include "options.hpp"

namespace app {

/// All return the exit code.
int run(int argc, char** argv, run_request);
int run(int argc, char** argv, const config_request&);
int control(const control_request&);

}  // namespace app
