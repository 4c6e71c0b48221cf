// The bundled service: what prefork runs without a command.
#pragma once

#include "supervisor/supervisor.hpp"

/// A keep-alive HTTP/1.1 service that shows which worker answers: `/`, `/pid`, `/slow?ms=`,
/// `/crash`, `/exit?code=`, `/hang`. It serves the listener "http".
supervisor::worker_function demo();
