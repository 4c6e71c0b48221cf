// The queue of a listening socket.
#pragma once

namespace supervisor::kernel {

/// Connections that wait to be accepted. Of a unix socket, where the kernel tells no number: 1, if
/// there are any.
unsigned accept_queue_length(int listener) noexcept;

}  // namespace supervisor::kernel
