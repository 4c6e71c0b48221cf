// One wakeup a connection, on a listening socket that many processes share.
#pragma once

#include <cstdint>

namespace supervisor::kernel {

/// Where Asio registered a descriptor in its reactor.
struct registration {
  int epoll = -1;
  std::uint64_t data = 0;  ///< Asio's descriptor_state, by which its reactor finds the operation
};

/// Asio adds every descriptor to its epoll set with EPOLLIN|EPOLLET, for ever: all processes wake
/// for each connection, busy and leaving ones too. This finds Asio's entry for `fd`, which was just
/// assigned to an Asio object, in /proc/self/fdinfo (proc_pid_fdinfo(5)) and takes it out of the
/// set. From then on the object's async_wait completes only while admit() is in force. Throws
/// system_error.
registration take_over(int fd);

/// Puts `fd` into the set with EPOLLIN|EPOLLET|EPOLLEXCLUSIVE: a connection wakes one of the
/// processes that wait, and one that is there already reports at once. 0 or errno.
int admit(const registration&, int fd) noexcept;
/// Takes it out again.
void dismiss(const registration&, int fd) noexcept;

}  // namespace supervisor::kernel
