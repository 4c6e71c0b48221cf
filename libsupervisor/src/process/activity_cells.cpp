#include "process/activity_cells.hpp"

#include "kernel/descriptors.hpp"

namespace supervisor {

namespace {
constexpr std::size_t size = activity_cells::count * sizeof(kernel::activity);
}

activity_cells::activity_cells()
    : memory_(kernel::make_memory("supervisor-activity", size)),
      cells_(static_cast<kernel::activity*>(kernel::map_shared(memory_.get(), size))) {}

activity_cells::~activity_cells() { kernel::unmap(cells_, size); }

std::optional<std::size_t> activity_cells::take() {
  if (free_.empty()) {
    if (used_ == count) return {};
    at(used_).share = kernel::activity::none;  // the rest is fresh from the kernel: zero
    return used_++;
  }
  auto cell = free_.back();
  free_.pop_back();
  at(cell).clear();
  return cell;
}

}  // namespace supervisor
