#include "kernel/reuseport.hpp"

#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <vector>

#include "kernel/error.hpp"

namespace supervisor::kernel {

namespace {

int read_setting(const char* name, int otherwise) {
  int value = otherwise;
  std::ifstream file(std::string("/proc/sys/net/ipv4/") + name);
  if (!(file >> value)) return otherwise;
  return value;
}

/// A number of those that are not passed over, drawn at random, and counted up past each of the
/// others that comes before.
std::vector<sock_filter> make_selector(unsigned sockets, std::span<const unsigned> passed_over) {
  const auto chosen = sockets - static_cast<unsigned>(passed_over.size());
  std::vector<sock_filter> program;
  program.push_back(
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<unsigned>(SKF_AD_OFF + SKF_AD_RANDOM)));
  program.push_back(BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, chosen));
  for (auto index : passed_over) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, index, 0, 1));
    program.push_back(BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 1));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_A, 0));
  return program;
}

}  // namespace

void let_others_join(int listener) {
  const int on = 1;
  if (setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0)
    throw_errno("SO_REUSEPORT");
}

unique_fd join_listener(int first, int backlog) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  auto* where = reinterpret_cast<sockaddr*>(&address);
  if (getsockname(first, where, &length) != 0) throw_errno("getsockname");
  unique_fd socket(::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) throw_errno("socket");
  const int on = 1;
  int v6_only = 0;
  socklen_t size = sizeof v6_only;
  if (address.ss_family == AF_INET6 &&
      (getsockopt(first, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, &size) != 0 ||
       setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, size) != 0))
    throw_errno("IPV6_V6ONLY");
  if (setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
      bind(socket.get(), where, length) != 0 || listen(socket.get(), backlog) != 0)
    throw_errno("another socket for a sharded listener");
  return socket;
}

int steer(int socket, unsigned sockets, std::span<const unsigned> passed_over) noexcept try {
  if (passed_over.size() >= sockets) return EINVAL;
  auto program = make_selector(sockets, passed_over);
  if (program.size() > BPF_MAXINSNS) return E2BIG;
  const sock_fprog all{static_cast<unsigned short>(program.size()), program.data()};
  return setsockopt(socket, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &all, sizeof all) == 0 ? 0
                                                                                         : errno;
} catch (const std::bad_alloc&) {
  return ENOMEM;
}

void leave_listener(int socket) noexcept { ::shutdown(socket, SHUT_RDWR); }

bool moves_to_others() noexcept { return read_setting("tcp_migrate_req", 0) != 0; }

duration longest_handshake() noexcept {
  // The first answer is repeated after a second, and then each time after twice as long, tcp(7).
  const int retries = std::clamp(read_setting("tcp_synack_retries", 5), 0, 8);
  return std::chrono::seconds(1 << (retries + 1));
}

}  // namespace supervisor::kernel
