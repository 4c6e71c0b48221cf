// All deadlines of a host on one timer of the kernel's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>

#include "process/watched_fd.hpp"
#include "supervisor/time.hpp"

namespace supervisor {

/// One timerfd, armed for the earliest deadline and disarmed when there is none: Asio's own timers
/// would leave the kernel's armed after a cancellation, and wake an idle process for nothing.
class timer_queue {
 public:
  explicit timer_queue(boost::asio::any_io_executor);  ///< throws system_error

  std::uint64_t call_at(time_point when, std::function<void()> work);
  void cancel(std::uint64_t id) noexcept;
  std::size_t size() const noexcept { return queue_.size(); }

 private:
  void arm_later();
  void arm() noexcept;
  void run();

  std::map<std::pair<time_point, std::uint64_t>, std::function<void()>> queue_;
  std::unordered_map<std::uint64_t, time_point> deadlines_;
  std::uint64_t last_ = 0;
  time_point armed_ = never;
  bool arming_ = false;  ///< arm_later() has yet to come
  boost::asio::any_io_executor executor_;
  watched_fd timer_;
  std::shared_ptr<void> alive_ = std::make_shared<char>();
};

}  // namespace supervisor
