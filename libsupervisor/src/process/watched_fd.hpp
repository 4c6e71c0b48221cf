// A descriptor in the loop.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>

#include "kernel/unique_fd.hpp"

namespace supervisor {

/// Owns a descriptor and calls `readable` from the loop whenever it is; level-triggered. It may be
/// destroyed from within the call. Reading is left to the owner, so that an idle descriptor costs
/// no buffer.
class watched_fd {
 public:
  watched_fd() = default;
  /// Throws system_error where the kernel cannot watch it.
  watched_fd(boost::asio::any_io_executor, kernel::unique_fd, std::function<void()> readable);
  watched_fd(watched_fd&&) noexcept = default;
  watched_fd& operator=(watched_fd&&) noexcept;
  ~watched_fd();

  int get() const noexcept;  ///< -1 when there is none
  explicit operator bool() const noexcept { return state_ != nullptr; }
  void reset() noexcept;

 private:
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace supervisor
