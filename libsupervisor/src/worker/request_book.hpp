// The requests that a worker has in flight, and what its scoreboard says of them.
#pragma once

#include <array>
#include <cstdint>

#include "kernel/activity.hpp"
#include "supervisor/worker.hpp"

namespace supervisor {

struct request_book {
  request_book() noexcept {
    // The one last given back is the next to be given: it is in the cache.
    for (std::uint32_t i = 0; i < kernel::activity::notes; ++i)
      free_notes[i] = static_cast<std::uint8_t>(kernel::activity::notes - 1 - i);
  }
  std::uint32_t take_note() noexcept {
    return free_count ? free_notes[--free_count] : kernel::activity::notes;
  }
  void give_back(std::uint32_t note) noexcept {
    if (note < kernel::activity::notes) free_notes[free_count++] = static_cast<std::uint8_t>(note);
  }

  worker::request* first = nullptr;
  worker::request* last = nullptr;
  std::uint32_t count = 0;
  std::array<std::uint8_t, kernel::activity::notes> free_notes;
  std::uint32_t free_count = kernel::activity::notes;
};

}  // namespace supervisor
