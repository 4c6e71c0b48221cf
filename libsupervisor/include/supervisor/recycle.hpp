// When a worker has lived long enough, and a fresh one takes its place: a pure decision.
#pragma once

#include <cstdint>
#include <string>

#include "supervisor/time.hpp"

namespace supervisor {

/// How long a worker lives at most. Beyond that a fresh one is started, and when it is ready the
/// old one is told to leave, with the cause `recycled`. Zero is no limit.
struct recycle_policy {
  recycle_policy() = default;
  std::uint64_t max_requests = 0;  ///< of a function worker: requests begun, see worker::request
  duration max_age{};              ///< since its start
  std::uint64_t max_memory = 0;    ///< bytes of PSS: its own, and its share of what it shares
  /// Workers that started together must not end together: each draws its limits of requests and
  /// age from [1 - jitter, 1] of these.
  double jitter = 0.1;
  duration sampling =
      std::chrono::seconds(10);  ///< how often memory is looked at, if it is limited
  unsigned samples = 3;          ///< so many looks in a row are above max_memory: a peak is no leak
  unsigned at_once = 1;          ///< of a pool, so many slots may be under replacement at a time
  friend bool operator==(const recycle_policy&, const recycle_policy&) = default;
};

/// What the decision looks at.
struct recycle_facts {
  unsigned lot = 0;            ///< drawn once a worker, below recycle_lots
  bool asked = false;          ///< it said X_RECYCLE=1 itself
  std::uint64_t requests = 0;  ///< as far as they are known
  duration age{};              ///< since its start
  std::uint64_t memory = 0;    ///< bytes, at the last look
  unsigned heavy = 0;          ///< looks in a row, the last included, above max_memory
};

/// The lots there are: how much of the jitter a worker gets.
inline constexpr unsigned recycle_lots = 1'000'000;

/// The limits of the worker that has drawn `lot`; zero is none.
std::uint64_t request_limit(const recycle_policy&, unsigned lot) noexcept;
/// The same, of its age.
duration age_limit(const recycle_policy&, unsigned lot) noexcept;

/// Why the worker is to be replaced by a fresh one, for people: "980 requests". Empty: it is not.
std::string recycle_due(const recycle_policy&, const recycle_facts&);

}  // namespace supervisor
