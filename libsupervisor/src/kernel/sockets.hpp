// Listening sockets, and packets that carry descriptors.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/unique_fd.hpp"
#include "supervisor/listener.hpp"

namespace supervisor::kernel {

/// Opens the listening socket of `spec`: non-blocking, close-on-exec. Fills in what the kernel
/// chose: the port, and the address behind `localhost`. A stale unix socket file is replaced, a
/// live one is an error. Throws boost::system::system_error: "127.0.0.1:80: Permission denied;
/// ports below 1024 need CAP_NET_BIND_SERVICE".
unique_fd open_listener(listener_spec& spec);
/// Says as open_listener() would that it cannot be opened.
[[noreturn]] void refuse_listener(const listener_spec&, int error, std::string hint);
/// The file of a unix socket that was just opened: as long as this is open, no other is taken for
/// it. None for others.
unique_fd pin_file(const listener_spec& spec) noexcept;
/// Removes that file; not another program's that has come in its place.
void remove_listener(const listener_spec& spec, const unique_fd& pinned) noexcept;

/// A packet of a SOCK_SEQPACKET socket with the descriptors that came along.
struct packet {
  std::string data;
  std::vector<unique_fd> descriptors;
  bool cut = false;  ///< descriptors were lost: this process may hold no more (EMFILE)
};

/// Sends one packet; 0 or errno. Raises no SIGPIPE.
int send_packet(int socket, std::string_view data, std::span<const int> descriptors = {},
                int flags = 0) noexcept;

enum class received { packet, end, nothing };
/// Receives one packet of any size. Descriptors are close-on-exec from birth. `nothing`: the socket
/// does not block and has none. `end`: the other side is gone. Throws system_error.
/// `largest`: what is longer is cut; it saves the question how long the packet is.
received receive_packet(int socket, packet& into, int flags = 0, std::size_t largest = 0);

/// How many packets of one byte wait on a SOCK_SEQPACKET socket.
unsigned count_packets(int socket) noexcept;

/// Receives a packet of exactly this size, with at most one descriptor, without waiting and without
/// memory. `end` also where the packet is another's: whoever sends that cannot be understood.
received receive_record(int socket, void* record, std::size_t size, unique_fd& along) noexcept;

}  // namespace supervisor::kernel
