// The driver's view of a master and its workers, from outside; the same for every contestant.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

using clock = std::chrono::steady_clock;
inline double milliseconds(clock::duration d) {
  return std::chrono::duration<double, std::milli>(d).count();
}

/// A random number below `n`.
unsigned random_below(unsigned n);

/// The children of a master, but for its molds (told by their names when this is made).
class workers_of {
 public:
  explicit workers_of(pid_t master);
  workers_of(const workers_of&) = delete;
  ~workers_of();
  /// Zombies are children too. One read(2) of procfs.
  std::vector<pid_t> now() const;
  /// Spins until `done` holds for what now() tells; false after 20 s.
  bool spin(const std::function<bool(const std::vector<pid_t>&)>& done) const;
  /// Waits, asleep, until there are `count` of them and none has come or gone for 20 ms.
  std::vector<pid_t> settled(std::size_t count) const;

 private:
  int file_;
  std::vector<pid_t> molds_;
};

/// The others, dead or not.
std::vector<pid_t> without(std::vector<pid_t> pids, const std::vector<pid_t>& those);
bool contains(const std::vector<pid_t>&, pid_t);

/// One contestant as the command line names it: NAME=PID:NUMBER (and :BOARD).
struct contestant {
  std::string name;
  pid_t master = 0;
  unsigned number = 0;  ///< of workers, or of the port
  std::string board;
};
contestant parse_contestant(std::string_view text);

/// A connection to 127.0.0.1:port, blocking; -1 where refused.
int connect_to(std::uint16_t port, bool blocking = true);
std::uint16_t local_port(int socket);
inline constexpr std::string_view one_shot =
    "GET / HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n";
inline constexpr std::string_view keep_alive = "GET / HTTP/1.1\r\nHost: b\r\n\r\n";

// The measurements; each prints one JSON object.
int measure_respawn(unsigned rounds, bool all, const std::vector<contestant>&);
int measure_accepted(unsigned rounds, const std::vector<contestant>&);
int measure_signal(unsigned rounds, const std::vector<contestant>&);
/// Rounds of a second each.
int measure_signal_rate(unsigned rounds, const std::vector<contestant>&);
/// With `scaling` the pool is also told to grow and shrink, and workers to leave (TERM).
int measure_sparse(unsigned seconds, const contestant&, bool scaling);
int measure_storm(unsigned seconds, const contestant&);

}  // namespace bench
