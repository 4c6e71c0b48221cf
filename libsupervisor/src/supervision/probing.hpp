// Looks after one worker by its probes.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <vector>

#include "host/host.hpp"
#include "supervisor/condition.hpp"
#include "supervisor/probe.hpp"
#include "supervisor/task_group.hpp"

namespace supervisor {

/// One look that says something of the worker: those in which the supervisor itself was stopped or
/// asleep are made again. `wake` and `over` are the caller's: the end of the one, or the other
/// while it is due to resume, ends this.
boost::asio::awaitable<probe_result> look_once(host&, child_id, const probe&, condition& wake,
                                               const bool& over);

/// A coroutine for each probe, for as long as this lives: it ends them, and waits for nothing. What
/// they have counted is no state: begun anew, they count from none.
class probing {
 public:
  /// Told of each look.
  using told = std::function<void(health before, health now, const probe_result&)>;

  probing(host&, child_id);
  ~probing();
  probing(const probing&) = delete;
  /// Looks from `first` on, at a moment of the first period drawn by chance.
  void begin(probe, time_point first, told);

 private:
  struct watch;
  static boost::asio::awaitable<void> keep_looking(std::shared_ptr<watch>);

  host& outside_;
  const child_id child_;
  task_group group_;
  std::vector<std::shared_ptr<watch>> watches_;
};

}  // namespace supervisor
