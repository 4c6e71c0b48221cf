#include "kernel/activity.hpp"

#include <algorithm>

namespace supervisor::kernel {

void activity::note::write(std::string_view what) noexcept {
  length = static_cast<unsigned char>(std::min(what.size(), most));
  what.copy(text, length);
}

void activity::clear() noexcept {
  in_flight = 0;
  watched = 0;
  requests = 0;
  request_limit = 0;
  connections = 0;
  phase = 0;
  share = none;
  failure.write({});
}

}  // namespace supervisor::kernel
