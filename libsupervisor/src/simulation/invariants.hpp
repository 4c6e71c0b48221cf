// What holds at every step of every run, whatever the policy does and the world
// does to it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "simulation/group_invariants.hpp"
#include "simulation/simulated_host.hpp"
#include "supervision/state.hpp"
#include "supervisor/supervisor.hpp"

namespace supervisor {

/// Looks on, and remembers the first promise that is broken:
///   - a pool's state is the fold of its events, and an event's cause comes
///   before it;
///   - every process is a slot's, and no slot has two; it is reported once;
///   - nobody is sent a signal without an event that says so, and why;
///   - a worker leaves for another only when that is ready; a rollout has one
///   too many at most;
///   - what can be decided is decided, and no deadline passes unheeded, before
///   the clock moves;
///   - no worker is started while its pool lacks what it needs of others;
///   - what group_invariants says of groups;
///   - a pool that is told something settles within the sum of its deadlines;
///   - in the end nothing is left, no process and no coroutine.
class invariants {
 public:
  explicit invariants(simulated_host& outside) : host_(outside) {}

  /// Whose pools they are from now on; null while no supervisor lives.
  void watch(const supervisor* self);
  /// Each event, as it is recorded.
  void take_in(const event&) noexcept;
  /// After each step.
  void look();
  /// When nothing is ready, before the clock moves.
  void at_rest();
  /// When the policy has ended.
  void at_end();

  /// Empty: all hold.
  const std::string& broken() const noexcept { return broken_; }

 private:
  struct watched_pool {
    pool_state folded;
    bool changed = false;  ///< since it was last looked at
    struct {
      bool counts = false;  ///< time that passes from now on
      duration lasts{};
      duration allowed{};  ///< the sum of the deadlines that it has had
    } settling;            ///< since somebody last wanted or did something
  };
  using signal_sent = std::pair<std::uint64_t, std::int64_t>;  ///< to which child, number

  void fail(std::string what);
  void take_in_stop(const event&);
  void take_in_report(const event&);
  void take_in_launch(const event&);
  void take_in_retirement(const pool_state&, const event&);
  void look_at_signals();
  void look_at_children();
  void rest_of(const std::string& name, watched_pool&, duration passed);
  const pool_state* state(const std::string& pool) const;
  bool keeps_group(const std::string& name) const;

  simulated_host& host_;
  const supervisor* self_ = nullptr;
  bool died_ = false;  ///< a supervisor was; it may have taken a report along
  std::map<std::string, watched_pool, std::less<>> pools_;
  std::multiset<signal_sent> reasons_;  ///< of signals that are to come
  std::size_t signals_seen_ = 0;
  std::map<pid_t, unsigned> reports_;
  std::optional<time_point> last_rest_;
  bool changed_ = false;
  std::string broken_;
  group_invariants groups_{[this](std::string what) { fail(std::move(what)); }};
};

}  // namespace supervisor
