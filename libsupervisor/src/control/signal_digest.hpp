// How a log is spared the storm of one signal.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "supervisor/journal.hpp"

namespace supervisor {

/// Of one signal that comes again and again, the log gets the first delivery at once, and then one
/// event a second that counts the others. What an event names as its cause comes before it.
class signal_digest {
 public:
  /// Appends to `out` what is to be written now that `e` is recorded.
  void add(const event& e, std::vector<event>& out);
  /// Appends what waited until `now`; with `never` all.
  void expire(time_point now, std::vector<event>& out);
  /// When something that waits is due; `never` where nothing does.
  time_point next() const noexcept { return next_; }

 private:
  struct storm {
    time_point until = time_point::min();  ///< what comes before then waits
    std::optional<event> kept;
  };
  bool keep(const event& e);

  std::map<std::int64_t, storm> storms_;  // by signal
  time_point next_ = never;
  std::uint64_t kept_since_ = 0;  // the first event that still waits, or none
};

}  // namespace supervisor
