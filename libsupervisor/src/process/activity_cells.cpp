#include "process/activity_cells.hpp"

#include <algorithm>
#include <utility>

#include "kernel/descriptors.hpp"

namespace supervisor {

namespace {
constexpr std::size_t size = activity_cells::count * sizeof(kernel::activity);
}

activity_cells::activity_cells()
    : memory_(kernel::make_memory("supervisor-activity", size)),
      cells_(static_cast<kernel::activity*>(kernel::map_shared(memory_.get(), size))) {}

activity_cells::activity_cells(kernel::unique_fd memory, std::size_t used)
    : memory_(std::move(memory)),
      cells_(static_cast<kernel::activity*>(kernel::map_shared(memory_.get(), size))),
      used_(used) {}

activity_cells::~activity_cells() { kernel::unmap(cells_, size); }

std::optional<std::size_t> activity_cells::take() {
  if (free_.empty()) {
    if (used_ == count) return {};
    at(used_).clear();  // another process may have given it out
    at(used_).share = kernel::activity::none;
    return used_++;
  }
  auto cell = free_.back();
  free_.pop_back();
  at(cell).clear();
  return cell;
}

void activity_cells::claim(std::size_t cell) {
  claimed_.insert(cell);
  used_ = std::max(used_, std::min(cell + 1, count));
}

void activity_cells::all_claimed() {
  // The last ones last: a worker that was being made may still be on its way out.
  for (auto cell = used_; cell-- > 0;)
    if (!claimed_.contains(cell)) free_.push_back(cell);
  claimed_.clear();
}

}  // namespace supervisor
