// Deadlines by the clock of an executor.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "supervisor/time.hpp"

namespace supervisor {

class host;

/// From now on deadlines on `context` are kept by that host's clock, for as long as both live: a
/// simulation's. Everywhere else the clock is CLOCK_MONOTONIC.
void keep_time(boost::asio::execution_context& context, host&);

/// In a simulation, the same executor for coroutines that have this name; else unchanged.
boost::asio::any_io_executor name_executor(const boost::asio::any_io_executor&,
                                           std::string_view name);

/// One deadline at a time. Used on its executor only.
class deadline_timer {
 public:
  explicit deadline_timer(boost::asio::any_io_executor);
  ~deadline_timer() { cancel(); }
  deadline_timer(const deadline_timer&) = delete;

  time_point now() const noexcept;
  /// Runs `work` from the loop once `when` has come; instead of what was set before.
  void set(time_point when, std::function<void()> work);
  void cancel() noexcept;

 private:
  boost::asio::any_io_executor executor_;
  host* simulated_;
  std::uint64_t id_ = 0;  // of the simulated timer
  std::optional<boost::asio::steady_timer> timer_;
  std::shared_ptr<std::function<void()>> work_;  // gone, a late completion finds nothing to do
};

}  // namespace supervisor
