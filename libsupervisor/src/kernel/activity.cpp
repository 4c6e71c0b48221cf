#include "kernel/activity.hpp"

#include <algorithm>
#include <cstring>

namespace supervisor::kernel {

void activity::note::write(std::string_view text) noexcept {
  std::uint64_t copy[15];
  const auto length = std::min(text.size(), most);
  copy[length / 8] = 0;
  auto* bytes = reinterpret_cast<char*>(copy);
  bytes[0] = static_cast<char>(length);
  text.copy(bytes + 1, length);
  // Word by word: a reader may look meanwhile, and find out afterwards that it did.
  for (std::size_t i = 0; i <= length / 8; ++i) words[i].store(copy[i], std::memory_order_relaxed);
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
