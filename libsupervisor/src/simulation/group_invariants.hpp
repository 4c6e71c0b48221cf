// What holds for groups at every step of every run. It counts along with the events by rules of its
// own, and shares nothing with what decides.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "supervisor/group.hpp"
#include "supervisor/journal.hpp"

namespace supervisor {

/// Looks on, and tells whoever breaks one of these:
///   - children start from left to right, each when the one before has started, and stop from right
///   to left, each when the one before has left;
///   - a child is stopped or started where its group, a restart or a command says so, and after a
///   restart by a strategy those have been that it is for, and no others;
///   - a child that ends by itself is answered before the clock moves;
///   - a worker is started while its child is up;
///   - no child, and so no coroutine, outlives its group.
class group_invariants {
 public:
  using teller = std::function<void(std::string)>;
  explicit group_invariants(teller fail) : fail_(std::move(fail)) {}

  /// Each event, as it is recorded.
  void take_in(const event&);
  /// A coroutine that has ended may be on its way out until nothing is ready any more. `is_kept`:
  /// a supervisor lives that has that group.
  void at_rest(const std::function<bool(const std::string& group)>& is_kept,
               const std::function<bool(const std::string& coroutine)>& is_busy);
  void at_end(const std::function<bool(const std::string& group)>& is_kept);

 private:
  enum class stage : std::uint8_t { down, starting, up, stopping };
  struct child {
    std::string name;
    std::string kind;
    bool temporary = false;
    stage now = stage::down;
    std::uint64_t due = 0;      ///< to be started, since this event; 0: it is not
    bool has_to_leave = false;  ///< to be started again along with another one, or never
    bool unwanted = false;      ///< a command stops it
    bool unanswered = false;    ///< it has ended by itself
    bool given_up = false;      ///< a coroutine that did not end
  };
  struct group {
    strategy restarts = strategy::one_for_one;
    bool stopping = false;
    bool over = false;
    std::vector<child> children;  ///< from left to right
  };

  void take_in_group(const std::string& name, group&, const event&);
  void take_in_child(const std::string& name, group&, child&, const event&);
  void restart(const std::string& name, group&, child&, const event&);
  void starts(const std::string& name, const group&, const child&);
  void stops(const std::string& name, const group&, const child&);
  void ends(const std::string& name, const group&, child&, const event&);
  void stopped(const std::string& name, const group&);
  void launched(const event&);
  void rest_of(const std::string& name, const group&);

  teller fail_;
  std::map<std::string, group, std::less<>> groups_;
};

}  // namespace supervisor
