// Listening sockets, by name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace supervisor {

/// A listening socket that the supervisor opens once and every worker inherits.
struct listener_spec {
  /// What the address is of.
  enum class family : std::uint8_t { tcp, unix_path, descriptor };
  listener_spec() = default;
  /// From "[NAME=]ADDR[,sharded]"; ADDR is `host:port`, `[v6]:port`, `:port`, `unix:PATH` or
  /// `fd:N`; only a TCP address can be sharded. `host` is a numeric address, `localhost` or `*`: a
  /// master never asks a name server. Throws std::invalid_argument whose message names the text,
  /// what is wrong, and the way out.
  static listener_spec parse(std::string_view text, std::string_view default_name = "http");

  std::string name = "http";  ///< by which workers ask for it
  family kind = family::tcp;  ///< which of host, port and descriptor count
  std::string host;           ///< tcp: numeric address; unix_path: the path
  std::uint16_t port = 0;     ///< tcp; 0 lets the kernel choose
  int descriptor = -1;        ///< descriptor: an inherited listening socket
  /// One socket a slot of the pool instead of one for all (SO_REUSEPORT): see doc/listeners.md.
  bool sharded = false;
  int backlog = 4096;  ///< the kernel caps it at net.core.somaxconn
  /// "127.0.0.1:8080", "[::1]:80", "unix:/run/x.sock", "fd:3".
  std::string address() const;
  /// Whether `open`, as a supervisor has opened it, is where this one would be: port 0 is any port.
  bool matches(const listener_spec& open) const noexcept;
};

}  // namespace supervisor
