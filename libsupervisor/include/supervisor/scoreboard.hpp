// What a function worker shows of itself while it works.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "supervisor/time.hpp"

namespace supervisor {

/// One look at a worker's page of shared memory: the worker pays nothing for it, and cannot be
/// slow to answer.
struct scoreboard {
  /// Where in its life it is.
  enum class phase : std::uint8_t {
    starting,  ///< it has not said that it is ready
    serving,   ///< it has said that it is ready
    draining,  ///< it takes no more connections, and ends what is in flight
    leaving,   ///< what is in flight is cancelled, or it runs its last hooks
  };
  /// A request in flight.
  struct request {
    std::string what;  ///< the text given to worker::request, cut at 119 bytes; it may be empty
    duration age{};    ///< since it began, in steps of a clock tick
    friend bool operator==(const request&, const request&) = default;
  };

  phase now = phase::starting;  ///< where it is
  std::uint64_t requests = 0;   ///< begun, in this worker's life
  unsigned in_flight = 0;       ///< requests begun and not ended
  unsigned connections = 0;     ///< accepted and not yet destroyed
  request oldest;               ///< where in_flight > 0: the one that has lasted longest ...
  request latest;               ///< ... and the one begun last, which may be the same
  std::string failure;          ///< what the exception said that ended it, cut at 119 bytes

  friend bool operator==(const scoreboard&, const scoreboard&) = default;
};

/// "starting", "idle", "busy", "draining", "leaving".
std::string_view describe_phase(const scoreboard&) noexcept;
/// One of the requests in flight: "GET /crash, 1.2 s in; 3 more in flight". Empty where there is
/// none.
std::string describe_work(const scoreboard&, const scoreboard::request&);

}  // namespace supervisor
