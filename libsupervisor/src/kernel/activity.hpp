// What a worker shows its supervisor, and its siblings, without a system call: a cell of a shared
// mapping.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <string_view>

namespace supervisor::kernel {

/// One page a worker, in a memfd that the supervisor makes for each mold and that all map shared.
/// The supervisor clears a cell before it gives it to a worker; from then on the worker alone
/// writes, but for `watched`, `share` and `request_limit`.
///
/// How an idle pool costs nothing although hangs are watched: `watched` says that the supervisor
/// samples this cell. A worker that begins a request and finds `watched` 0 sets it and sends BUSY=1
/// on its channel; the supervisor then looks from time to time, clears `watched` when it finds
/// nothing in flight, and ends with a look that finds both. So a message is sent once a busy
/// period, not once a request.
struct alignas(4096) activity {
  std::atomic<std::uint32_t> in_flight;
  std::atomic<std::uint32_t> watched;
  std::atomic<std::uint64_t> requests;       ///< begun
  std::atomic<std::uint64_t> request_limit;  ///< at so many the worker says X_RECYCLE=1; 0: never
  std::atomic<std::uint32_t> connections;    ///< open
  std::atomic<std::uint32_t> phase;          ///< scoreboard::phase

  /// Whether this worker takes connections from the listeners it shares. Cells are given out in
  /// their order: behind one that was never given there is none.
  enum : std::uint32_t { never_given, none, takes };
  std::atomic<std::uint32_t> share;

  /// What a request is about: written while nobody looks, before `oldest` or `latest` name it. Who
  /// reads it is another process, which finds out by `changes` that it was disturbed.
  struct alignas(8) note {
    static constexpr std::size_t most = 119;
    unsigned char length;
    char text[most];
    void write(std::string_view) noexcept;
  };
  static constexpr std::uint32_t notes = 32;

  /// Counted up whenever the four below are about to mean another request: a reader who finds it
  /// unchanged after reading was not disturbed.
  std::atomic<std::uint32_t> changes;
  // Of the requests in flight, by when they began. CLOCK_MONOTONIC; a number from `notes` on: there
  // was no room for its text.
  std::atomic<std::uint32_t> oldest, latest;
  std::atomic<std::int64_t> oldest_since, latest_since;

  note texts[notes];
  note failure;  ///< what the exception said that ended the worker

  void clear() noexcept;  ///< for a new worker
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(sizeof(activity) == 4096);

/// Nanoseconds of CLOCK_MONOTONIC, a tick (at most 10 ms) behind: a quarter of the price, and far
/// more exact than what is asked of it.
inline std::int64_t coarse_now() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

}  // namespace supervisor::kernel
