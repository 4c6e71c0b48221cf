// Timers that tick: the real-time one as an awaitable, those of CPU time as signals.
#pragma once

#include <sys/time.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>

#include "supervisor/signals.hpp"
#include "supervisor/time.hpp"

namespace supervisor {

/// setitimer(ITIMER_REAL) without a signal: ticks after `first`, then every `period`; once, where
/// that is zero. Ticks are due at fixed times however late they are taken, so the timer does not
/// drift. Single-threaded; by the executor's own clock, which in a simulation is a virtual one.
/// Between two calls of tick() it costs nothing.
///
///     supervisor::interval_timer every(executor, 0s, 10s);
///     for (;;) {
///       auto ticks = co_await every.tick();  // 1, or more after a long turn
///       ...
class interval_timer {
 public:
  explicit interval_timer(boost::asio::any_io_executor);  ///< stopped
  /// Ticks after `first`, then every `period`; once, where that is zero.
  interval_timer(boost::asio::any_io_executor, duration first, duration period = {});
  ~interval_timer();
  interval_timer(const interval_timer&) = delete;

  /// Waits until a tick is due; how many it stands for: those that nobody took are counted in. 0
  /// where the timer is stopped, or has ticked its only time. One waiter at a time. A cancelled one
  /// has taken no tick.
  boost::asio::awaitable<std::uint64_t> tick();
  /// getitimer(2): the time until the next tick, zero where it is due or the timer is stopped.
  duration remaining() const noexcept;
  duration interval() const noexcept;  ///< the period
  /// Starts anew, from now.
  void reset(duration first, duration period = {});
  void stop() noexcept;  ///< no tick more; who waits gets 0

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

/// What a cpu_timer measures, and how it tells.
enum class cpu_time : std::uint8_t {
  user,   ///< ITIMER_VIRTUAL: in the process's own code; SIGVTALRM
  total,  ///< ITIMER_PROF: and in the kernel on its behalf; SIGPROF
};

/// setitimer(2) on the CPU time of all threads of this process, as RAII. Its signal comes through
/// the dispatcher, to `on` or `wait`, and is caught from here on, because its default action would
/// end the program. The kernel has one timer of each kind: the one that was set before goes on,
/// with the time it had left, when this one ends.
class cpu_timer {
 public:
  /// Fires after `first`, then every `period`; once, where that is zero. The kernel counts
  /// microseconds and looks at every clock tick (1 to 10 ms). Throws system_error (negative, or
  /// beyond what a timeval holds), std::invalid_argument where `first` is zero.
  cpu_timer(signal_dispatcher&, cpu_time, duration first, duration period = {});
  ~cpu_timer();
  cpu_timer(const cpu_timer&) = delete;

  int signal() const noexcept;  ///< SIGVTALRM or SIGPROF
  /// getitimer(2): CPU time until it fires; zero after its only time.
  duration remaining() const noexcept;
  duration interval() const noexcept;  ///< the period

 private:
  cpu_time what_;
  itimerval before_{};
};

}  // namespace supervisor
