#include "supervision/recycling.hpp"

#include <algorithm>

namespace supervisor {

recycling::recycling(host& outside, const slot_state& slot, const recycle_policy& policy)
    : outside_(outside),
      slot_(slot),
      policy_(policy),
      next_weighing_(policy.max_memory ? later(outside.now(), policy.sampling) : never) {
  facts_.lot = slot.lot;
}

std::string recycling::look(const child_view& seen) {
  if (slot_.spent) return {};
  auto now = outside_.now();
  facts_.asked = seen.spent;
  facts_.age = now - slot_.started_at;
  if (seen.spent)
    if (auto board = outside_.sample(seen.id)) facts_.requests = board->requests;
  if (now >= next_weighing_) weigh();
  return recycle_due(policy_, facts_);
}

void recycling::weigh() {
  next_weighing_ = later(outside_.now(), policy_.sampling);
  auto memory = outside_.memory(slot_.child);
  facts_.memory = memory.value_or(0);
  facts_.heavy = facts_.memory > policy_.max_memory ? facts_.heavy + 1 : 0;
}

time_point recycling::next_look() const noexcept {
  if (slot_.spent) return never;
  auto age = age_limit(policy_, slot_.lot);
  auto old = age > duration{} ? later(slot_.started_at, age) : never;
  return std::min(old, next_weighing_);
}

}  // namespace supervisor
