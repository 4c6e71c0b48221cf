// The log: the journal's events and the workers' output, as lines of text or JSON.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "supervisor/journal.hpp"
#include "supervisor/run.hpp"

namespace supervisor {

/// A synchronous sink of Boost.Log for one master's own records. Each line is one call of the
/// writer. From Boost.Log's core it is removed when destroyed, which must be before main() leaves.
class log_sink {
 public:
  /// Writes a whole line, without waiting; false when it could not. Lines lost that way are counted
  /// and told of, once, before the next line that gets through.
  using writer = std::function<bool(std::string_view line)>;
  log_sink(const log_options&, writer);  ///< `file` is the writer's affair
  ~log_sink();
  log_sink(const log_sink&) = delete;

  /// Never throws: a record that cannot be written is a lost line.
  void write(const event&) noexcept;
  /// A line that a worker wrote, without its newline; written whatever the level. Control
  /// characters come out escaped.
  void output_line(std::string_view pool, unsigned slot, bool is_stderr,
                   std::string_view line) noexcept;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace supervisor
