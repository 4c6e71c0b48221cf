// The bundled policy: a prefork master, driven by signals.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "supervisor/run.hpp"
#include "supervisor/supervisor.hpp"

namespace supervisor {

/// Of the bundled policy.
struct prefork_options {
  prefork_options() = default;
  unsigned workers = 2;  ///< how many, at first
  /// Runs beside the pool, and sizes it: one of supervisor/scaling.hpp, or of the user's. Empty: it
  /// has one worker at least, and as many as it is told.
  std::function<boost::asio::awaitable<void>(supervisor&, pool)> scale;
  /// Opened before the first worker; for main() none is 127.0.0.1:8080.
  std::vector<listener_spec> listeners;
  rollout_options rollouts;  ///< how HUP and `reload` go
  duration drain_delay{};  ///< after TERM, serve on for this long before workers are told to leave
  /// Called once, when the first workers are wanted, with the listeners as they were opened (port 0
  /// is the port that the kernel chose).
  std::function<void(supervisor&, const std::vector<listener_spec>&)> started;
};

/// What some of the signals of doc/signals.md mean.
struct signal_options {
  signal_options() = default;
  duration drain_delay{};  ///< as in prefork_options
  /// What HUP does; empty: every pool rolls to a new generation.
  std::function<boost::asio::awaitable<void>(supervisor&)> reload;
};

/// Obeys the signals of doc/signals.md for all pools of `self` until one of them ends it, and stops
/// everything then. TTIN, TTOU and their counted kin are for the first of self.pools(). Returns the
/// exit code. For a policy that keeps several pools, or makes them in its own way.
boost::asio::awaitable<int> obey_signals(supervisor& self, signal_options options);

/// Keeps `options.workers` workers of `what` in a pool named `name`, and obeys the signals of
/// doc/signals.md. Returns the exit code.
boost::asio::awaitable<int> prefork(supervisor& self, std::string name, spec what,
                                    prefork_options options);

/// The one-call door: a prefork service of one worker function, on 127.0.0.1:8080 unless options
/// say otherwise.
int main(int argc, char** argv, worker_function serve, prefork_options options = {},
         run_options run = {});

}  // namespace supervisor
