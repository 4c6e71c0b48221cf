#include "keeper/caller.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cstdio>

#include "kernel/error.hpp"
#include "supervisor/errc.hpp"

namespace supervisor {

void control_caller::accept(int listening) noexcept {
  socket_.reset(::accept4(listening, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

void control_caller::answer(const end_of_master& last, unsigned deaths,
                            duration until_next) noexcept {
  char request[4096];
  ::recv(socket_.get(), request, sizeof request, 0);
  auto seconds = std::chrono::ceil<std::chrono::seconds>(until_next).count();
  char body[512], head[256];
  int size = std::snprintf(
      body, sizeof body,
      "{\"ok\":false,\"error\":\"master_down\",\"reason\":\"the master has died %u times in a row, "
      "lastly by %s %d; the next start is in %lld s, and the workers serve on\",\"exit\":%d}\n",
      deaths, last.by_signal ? "signal" : "exit", last.number,
      static_cast<long long>(std::max<std::int64_t>(seconds, 0)), exit_code::unreachable);
  int length =
      std::snprintf(head, sizeof head,
                    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
                    "Content-Length: %d\r\nConnection: close\r\n\r\n",
                    size);
  iovec parts[] = {{head, static_cast<std::size_t>(length)},
                   {body, static_cast<std::size_t>(size)}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  kernel::uninterrupted([&] { return ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL); });
  hang_up();
}

}  // namespace supervisor
