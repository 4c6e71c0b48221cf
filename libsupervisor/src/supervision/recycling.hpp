// Looks whether one worker that serves has lived long enough.
#pragma once

#include <string>

#include "host/host.hpp"
#include "supervision/state.hpp"
#include "supervisor/recycle.hpp"

namespace supervisor {

/// No timer runs for a limit that is not set; requests are counted by the worker, which says when
/// it has reached its own. The looks at its memory are no state: begun anew, they count from none.
class recycling {
 public:
  recycling(host&, const slot_state&, const recycle_policy&);

  /// Why it is to be replaced; empty while it is not, and once that is recorded.
  std::string look(const child_view&);
  /// By when to look again, if nothing else happens.
  time_point next_look() const noexcept;

 private:
  void weigh();

  host& outside_;
  const slot_state& slot_;
  const recycle_policy policy_;
  recycle_facts facts_;
  time_point next_weighing_;
};

}  // namespace supervisor
