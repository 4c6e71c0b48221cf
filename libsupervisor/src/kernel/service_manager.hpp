// The service manager above us, as systemd speaks: sd_notify(3), sd_listen_fds(3),
// sd_watchdog_enabled(3). Spoken here without its library.
#pragma once

#include <sys/types.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/unique_fd.hpp"
#include "supervisor/listener.hpp"
#include "supervisor/time.hpp"

namespace supervisor::kernel {

/// A listening socket that came with us into this process.
struct inherited_listener {
  inherited_listener(listener_spec a, unique_fd f, unsigned p = 0)
      : address(std::move(a)), place(p), fd(std::move(f)) {}
  listener_spec address;  ///< its name, and where it is bound
  unsigned place = 0;     ///< among the sockets of a sharded one
  unique_fd fd;           ///< close-on-exec, does not block
};

/// What a service manager is to call a socket: by its name and its place.
std::string stored_name(const std::string& listener, unsigned place);

/// Where the sockets of LISTEN_FDS listen, if they are meant for `main_pid`: `descriptor` is which
/// one, and of a sharded one the first. What else was passed is left out. See inherited_listeners()
/// for the names.
std::vector<listener_spec> passed_listeners(pid_t main_pid);
/// "NAME=VALUE" for the environment of a program that is executed in our place and gets none of
/// them: passed_listeners() tells of them there, too, without descriptors.
std::string listeners_to_remember(pid_t main_pid);
/// The sockets themselves. To be called once: they are ours from then on.
std::vector<inherited_listener> take_listeners(pid_t main_pid);

/// Whether a listening socket can be reached by its address when its maker is gone: not so one with
/// a file of its own.
bool outlives_us(int socket) noexcept;

/// WATCHDOG_USEC, if it is meant for `main_pid`.
std::optional<duration> watchdog_interval(pid_t main_pid);

/// NOTIFY_SOCKET. Without one, every call does nothing.
class manager_socket {
 public:
  /// Looks into the environment; a socket that cannot be made is like none.
  manager_socket();
  explicit operator bool() const noexcept { return static_cast<bool>(socket_); }
  /// Never waits. False when it was not taken: the manager's queue is full, or it is gone.
  bool send(std::string_view words, std::span<const int> descriptors = {}) const noexcept;

 private:
  unique_fd socket_;
};

}  // namespace supervisor::kernel
