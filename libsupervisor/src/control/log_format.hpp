// The words and fields of a log line; pure.
#pragma once

#include <string>
#include <string_view>

#include "supervisor/journal.hpp"

namespace supervisor {

/// What one line tells of.
struct log_entry {
  severity level = severity::info;
  wall_time wall{};
  const event* what = nullptr;  ///< else it is a worker's output, or lines that were lost
  std::string_view pool;        ///< of the output
  unsigned slot = 0;
  bool is_stderr = false;
  std::string_view line;
  std::uint64_t lost = 0;
};

/// "2026-11-22T14:03:07.123Z info    http.0 gen 1 pid 4711 ready (#12 <- #9)\n"
std::string format_text(const log_entry&);
/// One JSON object, valid UTF-8 whatever the input, and a newline.
std::string format_json(const log_entry&);

}  // namespace supervisor
