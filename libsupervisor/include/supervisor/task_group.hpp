// Structured concurrency: coroutines with one owner.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <exception>
#include <functional>
#include <memory>
#include <string_view>

namespace supervisor {

/// Owns the coroutines spawned into it. Nothing is detached: an exception that leaves a member goes
/// to `failed` (default: remembered, rethrown by join()), and join() waits for all.
/// Single-threaded. Destroyed with live members (an io_context torn down), it lets their frames go
/// unresumed.
class task_group {
 public:
  /// An empty one.
  explicit task_group(boost::asio::any_io_executor,
                      std::function<void(std::exception_ptr)> failed = {});
  ~task_group();
  task_group(const task_group&) = delete;
  task_group& operator=(const task_group&) = delete;

  /// Starts `task` from the loop. Its cancellation is the group's. A simulation that has something
  /// to say about it calls it `name`.
  void spawn(boost::asio::awaitable<void> task, std::string_view name = {});
  /// Asks every member to end (terminal cancellation): its next co_await throws operation_aborted,
  /// which is not counted as a failure. One that has not begun still begins, and gets to its first
  /// suspension. Called from outside the loop it takes effect in the loop.
  void cancel();
  /// Members that have not ended.
  std::size_t size() const noexcept;
  /// Completes when no member is left; the group outlives it. Cancelling it leaves the members
  /// running.
  boost::asio::awaitable<void> join();

 private:
  struct impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace supervisor
