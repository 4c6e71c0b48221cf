// From a fresh process to the user's coroutine.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernel/activity.hpp"
#include "kernel/unique_fd.hpp"

namespace supervisor {

struct worker_function;

/// Where a worker gives connections to others of its pool, and takes theirs: the two ends of a
/// SOCK_SEQPACKET pair that all of them share. Each packet brings one connection.
struct relay {
  std::string listener;  ///< that the connections are of
  int take = -1, give = -1;
};

/// What a function worker is born with. The process is already its own: dispositions and mask
/// clean, stdio, credentials, limits, process group and title as the spec asks.
struct worker_boot {
  std::string pool;
  unsigned slot = 0;
  std::uint64_t generation = 0;
  kernel::unique_fd channel;  ///< SOCK_SEQPACKET to the supervisor, words of kernel/channel.hpp
  std::vector<std::pair<std::string, int>>
      listeners;                      ///< by name; not owned, shared by all workers
  std::vector<relay> relays;          ///< of those listeners; not owned, shared by all workers
  std::span<kernel::activity> cells;  ///< of all workers of this mold; empty: none is shared
  std::size_t cell = 0;               ///< this worker's
};

/// Runs the worker function on an io_context of its own until it and all it spawned have ended;
/// returns the exit code: 0, or 70 (EX_SOFTWARE) after an exception, which is told on stderr.
int run_worker(worker_boot, const worker_function&);

}  // namespace supervisor
