// A client that counts whatever a user of the service would have noticed.
//
// The load is open: requests are due at even distances, whether or not the service keeps up, and a
// latency is counted from when its request was due. So a stall costs every request that fell into
// it, and not only the one that was under way.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace bench {

struct load_options {
  std::string host = "127.0.0.1";  ///< numeric
  std::uint16_t port = 0;
  std::vector<std::string> paths{"/pid"};  ///< asked for in turn
  bool keep_alive = false;
  double rate = 0;             ///< requests a second; 0: each connection as soon as it is answered
  unsigned connections = 64;   ///< at most, at a time
  std::uint64_t requests = 0;  ///< so many, and no more; 0: until stopped
  std::chrono::milliseconds patience{5000};  ///< for one request, from when it is sent
};

/// What became of the requests that were due in one phase.
struct tally {
  std::uint64_t asked = 0;
  std::uint64_t answered = 0;      ///< in full, with 200 and what was expected
  std::uint64_t refused = 0;       ///< no connection
  std::uint64_t reset = 0;         ///< before the answer was complete
  std::uint64_t closed_early = 0;  ///< before the answer's first byte
  std::uint64_t truncated = 0;     ///< in the midst of the answer
  std::uint64_t timed_out = 0;
  std::uint64_t wrong = 0;  ///< another status, another body, or no HTTP
  // Of connections that the client would have kept.
  std::uint64_t closes_announced = 0;    ///< with `Connection: close` on an answer
  std::uint64_t closes_unannounced = 0;  ///< while it was idle
  std::vector<std::uint32_t> latencies;  ///< of the answered, in microseconds, from the due time

  std::uint64_t failed() const noexcept {
    return refused + reset + closed_early + truncated + timed_out + wrong;
  }
  std::uint64_t closed_by_server() const noexcept { return closes_announced + closes_unannounced; }
  /// Of the latencies, in milliseconds; 0 without any. Sorts them.
  double percentile(double share);
  /// "12 refused, 3 reset"; empty without a failure.
  std::string failures() const;
};

using phases = std::vector<std::pair<std::string, tally>>;

/// Runs in a thread of its own. The right answer is 200 and a body of digits and a newline.
class load {
 public:
  explicit load(load_options);
  ~load();
  /// What is due from now on is counted under this name; at first it is "".
  void phase(std::string name);
  /// What is under way is waited for; after that nothing is asked any more. Throws what kept the
  /// client itself from doing its part.
  phases stop();
  /// The same, when `requests` are done.
  phases finish();

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace bench
