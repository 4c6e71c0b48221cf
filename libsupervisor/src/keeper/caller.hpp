// Whoever calls at a master's address while there is no master.
#pragma once

#include "keeper/start.hpp"
#include "kernel/unique_fd.hpp"
#include "supervisor/time.hpp"

namespace supervisor {

/// One client of the control socket at a time, who is told how things stand.
class control_caller {
 public:
  bool open() const noexcept { return static_cast<bool>(socket_); }
  int fd() const noexcept { return socket_.get(); }
  void accept(int listening) noexcept;
  /// Its request is there, or it has left.
  void answer(const end_of_master& last, unsigned deaths, duration until_next) noexcept;
  void hang_up() noexcept { socket_.reset(); }

 private:
  kernel::unique_fd socket_;
};

}  // namespace supervisor
