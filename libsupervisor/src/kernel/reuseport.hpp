// Listening sockets of one address (SO_REUSEPORT), and which of them the next connection goes to.
#pragma once

#include <span>

#include "kernel/unique_fd.hpp"
#include "supervisor/time.hpp"

namespace supervisor::kernel {

/// For a listener that was not opened as a sharded one. Throws system_error.
void let_others_join(int listener);
/// One socket more that listens where `first` does, at the end of their order. Throws system_error.
unique_fd join_listener(int first, int backlog);

/// New connections go to sockets at random, but not to these: indices in the order in which they
/// began to listen, ascending. One that left was replaced there by the last. 0 or errno: then it is
/// as it was.
int steer(int socket, unsigned sockets, std::span<const unsigned> passed_over) noexcept;

/// Takes a socket out of the order, and ends it for all who have it: what waits there is reset, or
/// goes to the others where moves_to_others().
void leave_listener(int socket) noexcept;

/// net.ipv4.tcp_migrate_req.
bool moves_to_others() noexcept;
/// How long after steer() a connection may still come to a socket that is passed over: its
/// handshake had begun, and the last answer to it was lost again and again
/// (net.ipv4.tcp_synack_retries).
duration longest_handshake() noexcept;

}  // namespace supervisor::kernel
