// What a worker shows its supervisor without a system call: a cell of a shared mapping.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace supervisor::kernel {

/// One page a worker, in a memfd that the supervisor makes for each mold and both map shared. The
/// supervisor clears a cell before it gives it to a worker.
///
/// How an idle pool costs nothing although hangs are watched: `watched` says that the supervisor
/// samples this cell. A worker that begins a request and finds `watched` 0 sets it and sends BUSY=1
/// on its channel; the supervisor then looks every half hang timeout, and clears `watched` when it
/// finds nothing in flight. So a message is sent once a busy period, not once a request.
struct alignas(4096) activity {
  std::atomic<std::uint32_t> in_flight;
  std::atomic<std::uint32_t> watched;
  std::atomic<std::uint64_t> requests;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(sizeof(activity) == 4096);

}  // namespace supervisor::kernel
