// open(2) of what may wait for ever.
#pragma once

#include <fcntl.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <string>

#include "supervisor/time.hpp"

namespace supervisor {

/// Opens a device or a FIFO as a blocking open(2) would - a FIFO waits for its other side, a
/// terminal line for its carrier - and gives up after `limit`, as under alarm(2). The loop goes on
/// meanwhile: a helper process makes the call and passes the descriptor on; at its end, whatever
/// that is, it is reaped and nothing of it is left, no signal either.
///
/// `flags` are those of open(2); what comes back does not block and is close-on-exec. O_CREAT makes
/// files of mode 0666 less the umask. A terminal does not become the controlling one. Names of
/// one's own descriptors (/dev/stdin, /proc/self/fd/3) mean the helper's, which are closed.
///
/// Throws system_error with the path: errno as open(2) fails; errc::timed_out, with the limit too.
/// Cancelled or timed out, the open has not happened - unless it came true at that very moment:
/// then the descriptor is closed again, and a FIFO's other side sees that. The helper's end is
/// waited for, past the limit too: where a driver or a dead network file system keeps open(2) from
/// being killed (state D in ps), for as long as it does; and if the loop itself goes meanwhile, its
/// destructor waits.
boost::asio::awaitable<boost::asio::posix::stream_descriptor> open_device(std::string path,
                                                                          int flags,
                                                                          duration limit);

}  // namespace supervisor
