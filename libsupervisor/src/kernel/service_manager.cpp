#include "kernel/service_manager.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "kernel/sockets.hpp"

namespace supervisor::kernel {

namespace {

constexpr int first_listener = 3;  // SD_LISTEN_FDS_START

std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

template <typename Number>
std::optional<Number> number_in(std::string_view text) {
  Number number{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

constexpr std::string_view in_names =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

bool is_listening(int fd) {
  int type = 0, listening = 0;
  socklen_t length = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_STREAM) return false;
  length = sizeof listening;
  return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 && listening;
}

std::string text_of(int family, const void* address) {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(family, address, text, sizeof text);
  return text;
}

/// As listener_spec::parse() would have it: [::] for both families is `*`.
listener_spec address_of(int fd) {
  listener_spec spec;
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &length) != 0) return spec;
  if (bound.ss_family == AF_INET) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(bound);
    spec.host = text_of(AF_INET, &v4.sin_addr);
    spec.port = ntohs(v4.sin_port);
  } else if (bound.ss_family == AF_INET6) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(bound);
    int only = 0;
    socklen_t size = sizeof only;
    getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &size);
    bool any = IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr) && !only;
    spec.host = any ? "*" : text_of(AF_INET6, &v6.sin6_addr);
    spec.port = ntohs(v6.sin6_port);
  } else if (bound.ss_family == AF_UNIX) {
    auto& path = reinterpret_cast<sockaddr_un&>(bound);
    spec.kind = listener_spec::family::unix_path;
    spec.host.assign(path.sun_path,
                     strnlen(path.sun_path, length - offsetof(sockaddr_un, sun_path)));
  }
  return spec;
}

/// In no name of a listener, see in_names.
constexpr std::string_view before_place = ".shard";

struct passed_listener {
  listener_spec address;
  unsigned place = 0;
};

/// Takes the place off the name.
unsigned take_place(std::string_view& name) {
  auto at = name.rfind(before_place);
  if (at == name.npos) return 0;
  auto place = number_in<unsigned>(name.substr(at + before_place.size()));
  if (place) name = name.substr(0, at);
  return place.value_or(0);
}

/// Lines: the main process's pid, then each "name=address".
constexpr const char* remembered = "SUPERVISOR_LISTENERS";

std::vector<listener_spec> remembered_listeners(std::string_view lines, pid_t main_pid) {
  std::vector<listener_spec> all;
  if (number_in<pid_t>(lines.substr(0, lines.find('\n'))) != main_pid) return all;
  for (auto at = lines.find('\n'); at != lines.npos;) {
    auto end = lines.find('\n', ++at);
    all.push_back(listener_spec::parse(lines.substr(at, end - at)));
    at = end;
  }
  return all;
}

std::vector<passed_listener> look_at_passed(pid_t main_pid) {
  std::vector<passed_listener> passed;
  auto count = number_in<int>(variable("LISTEN_FDS")).value_or(0);
  if (number_in<pid_t>(variable("LISTEN_PID")) != main_pid) return passed;
  auto names = variable("LISTEN_FDNAMES");
  int unnamed = 0;
  for (int fd = first_listener; fd < first_listener + count; ++fd) {
    auto name = names.substr(0, names.find(':'));
    names.remove_prefix(std::min(names.size(), name.size() + 1));
    if (!is_listening(fd)) continue;
    auto place = take_place(name);
    auto& [address, at] = passed.emplace_back(address_of(fd), place);
    address.descriptor = fd;
    // "unknown" is what systemd says for none; by default it gives the name of the unit.
    bool named =
        name != "unknown" && !name.empty() && name.find_first_not_of(in_names) == name.npos;
    if (named)
      address.name = name;
    else
      address.name = ++unnamed == 1 ? "http" : "http" + std::to_string(unnamed);
  }
  return passed;
}

}  // namespace

std::string stored_name(const std::string& listener, unsigned place) {
  if (place == 0) return listener;
  return listener + std::string(before_place) + std::to_string(place);
}

std::string listeners_to_remember(pid_t main_pid) {
  auto lines = std::string(remembered) + '=' + std::to_string(main_pid);
  for (auto& each : passed_listeners(main_pid)) lines += '\n' + each.name + '=' + each.address();
  return lines;
}

std::vector<listener_spec> passed_listeners(pid_t main_pid) {
  if (auto lines = variable(remembered); !lines.empty())
    return remembered_listeners(lines, main_pid);
  std::vector<listener_spec> all;
  for (auto& each : look_at_passed(main_pid))
    if (each.place == 0) all.push_back(std::move(each.address));
  return all;
}

std::vector<inherited_listener> take_listeners(pid_t main_pid) {
  std::vector<inherited_listener> taken;
  for (auto& [address, place] : look_at_passed(main_pid)) {
    unique_fd fd(std::exchange(address.descriptor, -1));
    int flags = fcntl(fd.get(), F_GETFL);
    if (fcntl(fd.get(), F_SETFD, FD_CLOEXEC) == 0 && flags >= 0 &&
        fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) == 0)
      taken.emplace_back(std::move(address), std::move(fd), place);
  }
  return taken;
}

bool outlives_us(int socket) noexcept {
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  return getsockname(socket, reinterpret_cast<sockaddr*>(&bound), &length) == 0 &&
         bound.ss_family != AF_UNIX;
}

std::optional<duration> watchdog_interval(pid_t main_pid) {
  auto interval = number_in<std::uint64_t>(variable("WATCHDOG_USEC"));
  auto meant = variable("WATCHDOG_PID");
  if (!interval || *interval == 0) return std::nullopt;
  if (!meant.empty() && number_in<pid_t>(meant) != main_pid) return std::nullopt;
  return std::chrono::microseconds(*interval);
}

manager_socket::manager_socket() {
  auto path = variable("NOTIFY_SOCKET");
  sockaddr_un address{};
  if (path.empty() || path.size() >= sizeof address.sun_path) return;
  if (path.front() != '/' && path.front() != '@') return;  // vsock: of a virtual machine's manager
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, path.size());
  if (path.front() == '@') address.sun_path[0] = '\0';
  unique_fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  if (socket && ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0)
    socket_ = std::move(socket);
}

bool manager_socket::send(std::string_view words, std::span<const int> descriptors) const noexcept {
  return socket_ && send_packet(socket_.get(), words, descriptors, MSG_DONTWAIT) == 0;
}

}  // namespace supervisor::kernel
