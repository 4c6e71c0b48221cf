#include "kernel/sockets.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "kernel/error.hpp"

namespace supervisor::kernel {

namespace {

/// system_error with the words in our order: what, then how to get out of it.
class listen_error : public boost::system::system_error {
 public:
  listen_error(const std::string& address, int error, const std::string& hint)
      : system_error(boost::system::error_code(error, boost::system::system_category())),
        text_(address + ": " + code().message() + (hint.empty() ? "" : "; " + hint)) {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

[[noreturn]] void fail(const listener_spec& spec, int error, std::string hint = {}) {
  if (hint.empty()) {
    const bool tcp = spec.kind == listener_spec::family::tcp;
    if (error == EACCES && tcp && spec.port < 1024)
      hint = "ports below 1024 need CAP_NET_BIND_SERVICE";
    else if (error == EADDRINUSE && tcp)
      hint = "`ss -ltnp` shows who listens there; stop it or choose another port";
    else if (error == EADDRINUSE)
      hint = "another program answers on that socket; stop it or choose another path";
    else if (error == EADDRNOTAVAIL)
      hint = "no interface of this machine has that address; * listens on all";
    else if (error == EAFNOSUPPORT)
      hint = "this kernel has no such address family; give an IPv4 address";
    else if (error == EMFILE)
      hint = "raise the limit of open files (ulimit -n)";
  }
  throw listen_error(spec.address(), error, hint);
}

unique_fd new_socket(int family) {
  return unique_fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

void fill_port(listener_spec& spec, int socket) {
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&bound), &length) != 0) fail(spec, errno);
  if (bound.ss_family == AF_INET)
    spec.port = ntohs(reinterpret_cast<sockaddr_in&>(bound).sin_port);
  else if (bound.ss_family == AF_INET6)
    spec.port = ntohs(reinterpret_cast<sockaddr_in6&>(bound).sin6_port);
}

unique_fd bind_tcp(const listener_spec& spec, const sockaddr* address, socklen_t length,
                   bool dual_stack) {
  unique_fd socket = new_socket(address->sa_family);
  if (!socket) return socket;
  const int on = 1, v6_only = !dual_stack;
  if (setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      (address->sa_family == AF_INET6 &&
       setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only) != 0) ||
      bind(socket.get(), address, length) != 0 ||
      // After bind(2), which so refuses an address that anybody else has.
      (spec.sharded && setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) ||
      listen(socket.get(), spec.backlog) != 0)
    fail(spec, errno);
  return socket;
}

unique_fd open_tcp(listener_spec& spec) {
  if (spec.host == "localhost") spec.host = "127.0.0.1";
  if (spec.host.empty() || spec.host == "*") {
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    any.sin6_port = htons(spec.port);
    unique_fd socket = bind_tcp(spec, reinterpret_cast<sockaddr*>(&any), sizeof any, true);
    if (socket || errno != EAFNOSUPPORT) return socket;
    sockaddr_in any4{};  // a machine without IPv6
    any4.sin_family = AF_INET;
    any4.sin_port = htons(spec.port);
    return bind_tcp(spec, reinterpret_cast<sockaddr*>(&any4), sizeof any4, false);
  }
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;  // never asks a name server
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(spec.host.c_str(), std::to_string(spec.port).c_str(), &hints, &found) != 0)
    fail(spec, EINVAL, "give a numeric address, localhost, or * for all");
  struct release {
    addrinfo* list;
    ~release() { freeaddrinfo(list); }
  } guard{found};
  return bind_tcp(spec, found->ai_addr, found->ai_addrlen, false);
}

/// Whether the file at `address` may go: a socket that nobody listens on (any more).
void remove_stale(const listener_spec& spec, const sockaddr_un& address) {
  struct stat there{};
  if (lstat(address.sun_path, &there) != 0) {
    if (errno == ENOENT) return;
    fail(spec, errno);
  }
  if (!S_ISSOCK(there.st_mode))
    fail(spec, EEXIST, "the file is not a socket; remove it or choose another path");
  unique_fd probe = new_socket(AF_UNIX);
  if (!probe) fail(spec, errno);
  // EAGAIN (its backlog is full) and everything else but ECONNREFUSED: somebody lives there.
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
      errno != ECONNREFUSED)
    fail(spec, EADDRINUSE);
  if (unlink(address.sun_path) != 0 && errno != ENOENT) fail(spec, errno);
}

/// Two programs that find the same stale file must not remove each other's fresh one: look, remove
/// and bind happen under a lock, which is on the directory so that nothing is left behind. None:
/// errno.
unique_fd lock_directory(const std::string& directory) {
  unique_fd lock(
      uninterrupted([&] { return ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (lock && uninterrupted([&] { return flock(lock.get(), LOCK_EX); }) != 0) lock.reset();
  return lock;
}

std::string directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == path.npos ? "." : path.substr(0, slash + 1);
}

unique_fd open_unix(const listener_spec& spec) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (spec.host.size() >= sizeof address.sun_path)
    fail(spec, ENAMETOOLONG, "a socket's path has at most 107 bytes");
  spec.host.copy(address.sun_path, sizeof address.sun_path);

  const auto directory = directory_of(spec.host);
  const auto lock = lock_directory(directory);
  if (!lock) fail(spec, errno, "the directory " + directory + " must exist and be readable");

  remove_stale(spec, address);
  unique_fd socket = new_socket(AF_UNIX);
  if (!socket) fail(spec, errno);
  if (bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(socket.get(), spec.backlog) != 0)
    fail(spec, errno);
  return socket;
}

unique_fd open_inherited(const listener_spec& spec) {
  int type = 0, listening = 0;
  socklen_t length = sizeof type;
  if (getsockopt(spec.descriptor, SOL_SOCKET, SO_TYPE, &type, &length) != 0)
    fail(spec, errno, "the caller must pass an open listening socket under that number");
  length = sizeof listening;
  if (getsockopt(spec.descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) != 0)
    fail(spec, errno);
  if (type != SOCK_STREAM || !listening) fail(spec, EINVAL, "it is not a listening stream socket");
  unique_fd socket(fcntl(spec.descriptor, F_DUPFD_CLOEXEC, 3));
  if (!socket) fail(spec, errno);
  const int flags = fcntl(socket.get(), F_GETFL);
  if (flags < 0 || fcntl(socket.get(), F_SETFL, flags | O_NONBLOCK) != 0) fail(spec, errno);
  return socket;
}

}  // namespace

unique_fd open_listener(listener_spec& spec) {
  unique_fd socket;
  switch (spec.kind) {
    case listener_spec::family::tcp:
      socket = open_tcp(spec);
      break;
    case listener_spec::family::unix_path:
      socket = open_unix(spec);
      break;
    case listener_spec::family::descriptor:
      socket = open_inherited(spec);
      break;
  }
  if (!socket) fail(spec, errno);
  fill_port(spec, socket.get());
  return socket;
}

void refuse_listener(const listener_spec& spec, int error, std::string hint) {
  fail(spec, error, std::move(hint));
}

unique_fd pin_file(const listener_spec& spec) noexcept {
  if (spec.kind != listener_spec::family::unix_path) return {};
  return unique_fd(::open(spec.host.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
}

void remove_listener(const listener_spec& spec, const unique_fd& pinned) noexcept try {
  struct stat ours{}, there{};
  const auto lock = lock_directory(directory_of(spec.host));
  if (pinned && fstat(pinned.get(), &ours) == 0 && lstat(spec.host.c_str(), &there) == 0 &&
      ours.st_dev == there.st_dev && ours.st_ino == there.st_ino)
    unlink(spec.host.c_str());
} catch (const std::bad_alloc&) {
  // The next master takes it for stale.
}

namespace {
constexpr std::size_t most_descriptors = 253;  // SCM_MAX_FD, unix(7)
}

int send_packet(int socket, std::string_view data, std::span<const int> descriptors,
                int flags) noexcept {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * most_descriptors)];
  if (descriptors.size() > most_descriptors) return EINVAL;
  iovec bytes{const_cast<char*>(data.data()), data.size()};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  }
  ssize_t sent;
  do sent = sendmsg(socket, &message, flags | MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent < 0 ? errno : 0;
}

unsigned count_packets(int socket) noexcept {
  int bytes = 0;
  return ioctl(socket, FIONREAD, &bytes) == 0 ? static_cast<unsigned>(bytes) : 0;
}

received receive_packet(int socket, packet& into, int flags, std::size_t largest) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * most_descriptors)];
  into.descriptors.clear();
  // The size first: MSG_TRUNC makes recv(2) tell it. ECONNRESET says that the other side has left
  // something of ours unread; it comes once, and before what that side had still sent, unix(7).
  const auto again = [](ssize_t got) { return got < 0 && (errno == EINTR || errno == ECONNRESET); };
  auto size = static_cast<ssize_t>(largest);
  if (largest == 0) {
    do size = recv(socket, nullptr, 0, flags | MSG_PEEK | MSG_TRUNC);
    while (again(size));
  }
  if (size > 0) {
    into.data.resize(static_cast<std::size_t>(size));
    iovec bytes{into.data.data(), into.data.size()};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    do size = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
    while (again(size));
    into.data.resize(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    for (auto* h = CMSG_FIRSTHDR(&message); size >= 0 && h; h = CMSG_NXTHDR(&message, h)) {
      if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
      const std::size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t i = 0; i < count; ++i) {
        int fd;
        std::memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
        into.descriptors.emplace_back(fd);
      }
    }
    // The control buffer has room for all, so a cut means that the descriptor table is full.
    into.cut = (message.msg_flags & MSG_CTRUNC) != 0;
  }
  if (size > 0) return received::packet;
  if (size == 0) return received::end;
  if (errno == EAGAIN) return received::nothing;
  throw_errno("receiving a packet");
}

received receive_record(int socket, void* record, std::size_t size, unique_fd& along) noexcept {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  iovec bytes{record, size};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  along.reset();
  ssize_t got;
  do got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (got < 0 && (errno == EINTR || errno == ECONNRESET));
  if (got < 0) return errno == EAGAIN ? received::nothing : received::end;
  auto* header = CMSG_FIRSTHDR(&message);
  if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
      header->cmsg_len >= CMSG_LEN(sizeof(int))) {
    int fd;
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    along.reset(fd);
  }
  bool whole = static_cast<std::size_t>(got) == size && !(message.msg_flags & MSG_TRUNC);
  return whole ? received::packet : received::end;
}

}  // namespace supervisor::kernel
