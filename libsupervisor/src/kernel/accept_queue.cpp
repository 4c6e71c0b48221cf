#include "kernel/accept_queue.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

namespace supervisor::kernel {

unsigned accept_queue_length(int listener) noexcept {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &size) == 0) return info.tcpi_unacked;
  pollfd look{listener, POLLIN, 0};
  return ::poll(&look, 1, 0) > 0;
}

}  // namespace supervisor::kernel
