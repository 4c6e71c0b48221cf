#include "kernel/scoreboard.hpp"

#include <algorithm>
#include <chrono>

namespace supervisor::kernel {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;

std::string read_note(const activity::note& note) {
  return {note.text, std::min<std::size_t>(note.length, activity::note::most)};
}

std::string read_note(const activity& cell, std::uint32_t number) {
  return number < activity::notes ? read_note(cell.texts[number]) : std::string();
}

duration age(std::int64_t since, time_point now) {
  const time_point began{std::chrono::nanoseconds(since)};
  return std::max(now - began, duration{});
}

}  // namespace

scoreboard read(const activity& cell, time_point now) {
  scoreboard seen;
  seen.failure = read_note(cell.failure);
  for (int attempt = 0; attempt < 100; ++attempt) {
    const auto changes = cell.changes.load(std::memory_order_acquire);
    seen.now = static_cast<scoreboard::phase>(cell.phase.load(relaxed));
    seen.requests = cell.requests.load(relaxed);
    seen.connections = cell.connections.load(relaxed);
    seen.in_flight = cell.in_flight.load(std::memory_order_acquire);
    if (seen.in_flight == 0) break;
    seen.oldest = {read_note(cell, cell.oldest.load(std::memory_order_acquire)),
                   age(cell.oldest_since.load(relaxed), now)};
    seen.latest = {read_note(cell, cell.latest.load(std::memory_order_acquire)),
                   age(cell.latest_since.load(relaxed), now)};
    std::atomic_thread_fence(std::memory_order_acquire);
    if (cell.changes.load(relaxed) == changes) return seen;
  }
  seen.oldest.what.clear();
  seen.latest.what.clear();
  if (seen.in_flight == 0) seen.oldest = seen.latest = {};
  return seen;
}

}  // namespace supervisor::kernel
