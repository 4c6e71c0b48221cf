// Ways to see whether a worker is well, and how often one is believed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "supervisor/time.hpp"

namespace supervisor {

/// A way to look at a worker from outside. In addresses, paths and arguments `{slot}` is the number
/// of its slot, `{9100+slot}` that added to a number, `{pid}` its pid: workers that share a socket
/// cannot be told apart by it, so each needs an address of its own.
///
///     probe::http("127.0.0.1:{9100+slot}", "/healthz").every(5s).within(500ms)
struct probe {
  /// How it looks.
  enum class way : std::uint8_t {
    exec,      ///< runs a program as the worker's user: exit 0 is well
    http,      ///< GET: a status from 200 to 399 is well
    tcp,       ///< connects
    log_line,  ///< the worker writes a line with a text in it: a new one for each look
    heartbeat  ///< the worker sends WATCHDOG=1: a new one for each look
  };

  /// Runs a program.
  static probe exec(std::string program, std::vector<std::string> arguments = {});
  /// Asks a server at `host:port` or `unix:PATH`, numeric as a listener's address.
  static probe http(std::string address, std::string path = "/");
  /// Connects to `host:port` or `unix:PATH`.
  static probe tcp(std::string address);
  /// Waits for a line of the worker's output, if that goes to the log.
  static probe log_line(std::string text);
  /// Waits for WATCHDOG=1, see sd_notify(3) and worker::heartbeat(). A command finds `timeout` in
  /// WATCHDOG_USEC.
  static probe heartbeat();
  /// From `http://ADDR/PATH`, `http://unix:SOCKET:/PATH`, `tcp://ADDR`, `exec:PROGRAM ARGS`,
  /// `log:TEXT` or `heartbeat`. Throws std::invalid_argument that names the text, what is wrong,
  /// and the way out.
  static probe parse(std::string_view text);

  /// From the beginning of one look to that of the next.
  probe every(duration d) const;
  /// How long an answer may take.
  probe within(duration d) const;
  /// So many failures in a row, and the worker is ill.
  probe ill_after(unsigned n) const;
  /// So many passes in a row, and the failures before are forgotten; a worker that is to get ready
  /// is so.
  probe well_after(unsigned n) const;
  /// From the worker's start, so long without a look.
  probe after(duration d) const;
  /// For one worker: with its placeholders filled in.
  probe of(unsigned slot, pid_t pid) const;
  /// As parse() takes it.
  std::string str() const;
  /// Part by part.
  bool operator==(const probe&) const;

  way how = way::heartbeat;                    ///< what it does
  std::string target;                          ///< the address, the program, or the text
  std::string path;                            ///< of http
  std::vector<std::string> arguments;          ///< of exec
  duration period = std::chrono::seconds(10);  ///< see every()
  duration timeout = std::chrono::seconds(1);  ///< see within()
  unsigned failures = 3;                       ///< see ill_after()
  unsigned successes = 1;                      ///< see well_after()
  duration start{};                            ///< see after()

 private:
  probe(way w, std::string t);
};

/// What one look has found.
struct probe_result {
  probe_result() = default;
  /// What it says.
  probe_result(bool passed, std::string says) : well(passed), words(std::move(says)) {}
  bool well = false;  ///< it passed
  std::string words;  ///< for people: "200 OK", "Connection refused", "no answer within 1 s"
};

/// What a row of looks has found.
struct health {
  unsigned failures = 0;   ///< since the last `successes` passes in a row
  unsigned successes = 0;  ///< passes in a row
  friend bool operator==(const health&, const health&) = default;
};
/// Takes one look in.
health judge(const probe&, health before, bool well) noexcept;
/// The worker is to be ended.
inline bool is_ill(const probe& p, health h) noexcept { return h.failures >= p.failures; }
/// The worker has passed often enough.
inline bool is_well(const probe& p, health h) noexcept { return h.successes >= p.successes; }

/// How a look went in time.
struct probe_timing {
  time_point due;     ///< when the answer had to be there
  time_point now;     ///< when the supervisor came to see that there is none
  duration asleep{};  ///< how long the machine slept meanwhile
};
/// Whether a failure says anything of the worker: not where the supervisor itself was stopped,
/// starved or asleep, for longer than a tenth of a second.
bool is_evidence(const probe_timing&) noexcept;

/// Describes what is wrong with a probe, if anything is.
std::optional<std::string> find_fault(const probe&);

}  // namespace supervisor
