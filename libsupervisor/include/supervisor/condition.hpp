// The one thing a sequence waits on.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <memory>

#include "supervisor/time.hpp"

namespace supervisor {

class host;

/// A condition variable for coroutines on one thread. It remembers nothing: test, then wait, in a
/// loop; on one thread nothing can come between the two.
///
///     while (!ready()) co_await changed.wait();
class condition {
 public:
  /// Deadlines are kept by the host's clock.
  explicit condition(host&);
  /// Without a host there are no deadlines: wait() takes none.
  explicit condition(boost::asio::any_io_executor);
  /// Whoever still waits is never resumed: its coroutine is destroyed.
  ~condition();
  condition(const condition&) = delete;

  /// Resumes every waiter, each by its coroutine's own executor.
  void notify() noexcept;
  /// False when `deadline` passed. Terminal cancellation throws operation_aborted.
  /// Without a deadline no timer is made: an idle wait costs nothing.
  boost::asio::awaitable<bool> wait(time_point deadline = never);

 private:
  struct impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace supervisor
