// What a dispatcher keeps of a signal until somebody takes it.
#pragma once

#include <algorithm>
#include <climits>
#include <csignal>
#include <cstdint>
#include <deque>
#include <vector>

#include "supervisor/signals.hpp"

namespace supervisor {

inline constexpr std::size_t most_kept = 1000;  // a bound for what a sender can make us remember

inline bool is_stop(int number) noexcept {
  return number == SIGINT || number == SIGQUIT || number == SIGTERM;
}

inline bool is_real_time(int number) noexcept { return number >= SIGRTMIN; }

/// What the kernel sends by itself (a terminal's WINCH) may mean something else than what somebody
/// sends, so the two are never counted as one.
inline bool alike(const signal_event& a, const signal_event& b) noexcept {
  return (a.code == SI_KERNEL) == (b.code == SI_KERNEL);
}

/// `into` stands for both from now on; what cannot be added is the later one's.
inline void merge(signal_event& into, const signal_event& later) noexcept {
  auto count = into.count + later.count;
  auto value = std::int64_t{later.value} + (is_real_time(later.number) ? into.value : 0);
  into = later;
  into.count = count;
  into.value = static_cast<int>(std::clamp<std::int64_t>(value, INT_MIN, INT_MAX));
}

/// Deliveries of one signal that nobody has got yet. Real-time signals stay apart, as in the
/// kernel.
class backlog {
 public:
  bool empty() const noexcept { return events_.empty(); }
  void clear() noexcept { events_.clear(); }

  void push(const signal_event& event) {
    bool apart = events_.empty() || is_real_time(event.number) || !alike(events_.back(), event);
    if (apart && events_.size() < most_kept)
      events_.push_back(event);
    else
      merge(events_.back(), event);
  }

  void put_back(const signal_event& event) { events_.push_front(event); }

  signal_event pop() {
    auto event = events_.front();
    events_.pop_front();
    return event;
  }

  /// All that are alike as one: for handlers that coalesce.
  signal_event pop_all() {
    auto event = pop();
    std::erase_if(events_, [&](auto& later) {
      bool merged = alike(event, later);
      if (merged) merge(event, later);
      return merged;
    });
    return event;
  }

  /// A single delivery. Merged real-time ones stay together: their values are only known summed.
  signal_event pop_one() {
    if (is_real_time(events_.front().number) || events_.front().count == 1) return pop();
    auto event = events_.front();
    --events_.front().count;
    event.count = 1;
    return event;
  }

 private:
  std::deque<signal_event> events_;
};

}  // namespace supervisor
