#include "kernel/accept_queue.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "kernel/error.hpp"

namespace supervisor::kernel {

unsigned accept_queue_length(int listener) noexcept {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &size) == 0) return info.tcpi_unacked;
  pollfd look{listener, POLLIN, 0};
  return ::poll(&look, 1, 0) > 0;
}

unique_fd share_listener(int listener) {
  unique_fd again(fcntl(listener, F_DUPFD_CLOEXEC, 0));
  if (!again) throw_errno("dup");
  return again;
}

}  // namespace supervisor::kernel
