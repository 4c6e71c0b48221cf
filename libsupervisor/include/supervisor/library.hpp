// The library door: a supervisor inside a program that has its own loop, threads and signals.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "supervisor/journal.hpp"
#include "supervisor/supervisor.hpp"

namespace supervisor {

/// What a supervisor takes from, and does to, the program it lives in. The functions are called on
/// its executor and must not throw.
struct library_options {
  library_options() = default;

  std::string name = "supervisor";  ///< in its own messages
  /// Each event of the journal as a line. Without it, warnings and errors go to stderr.
  std::function<void(severity, std::string_view line)> log;
  /// Each line a worker writes, where its output goes to the log (output::to::log). Without it,
  /// only the last 4 KiB are kept, for the exit report.
  std::function<void(std::string_view pool, unsigned slot, bool is_stderr, std::string_view line)>
      on_line;
  /// The soft limit of descriptors of the whole program goes up to the hard one. Each worker costs
  /// up to five.
  bool raise_descriptor_limit = false;
  /// The kernel kills a worker when the *thread* that started it ends (PR_SET_PDEATHSIG, prctl(2)).
  /// Right only where each thread that runs the io_context lives as long as the program.
  bool end_with_thread = false;
};

}  // namespace supervisor
