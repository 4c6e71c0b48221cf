// The queue of a listening socket.
#pragma once

#include "kernel/unique_fd.hpp"

namespace supervisor::kernel {

/// Connections that wait to be accepted. Of a unix socket, where the kernel tells no number: 1, if
/// there are any.
unsigned accept_queue_length(int listener) noexcept;
/// The same socket once more, to be watched for a while. Throws system_error.
unique_fd share_listener(int listener);

}  // namespace supervisor::kernel
