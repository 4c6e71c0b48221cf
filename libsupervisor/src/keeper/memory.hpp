// What a keeper leaves to the program that is executed in its place, in the same process.
#pragma once

#include <limits.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <csignal>
#include <cstdint>

#include "keeper/store.hpp"
#include "keeper/wire.hpp"

namespace supervisor {

/// As it lies in memory, and behind it the places that are in use. Members are added at the end,
/// and are 0 where an older program has not written them: so a newer one takes over from any older
/// one. Descriptors are those of the process.
struct keeper_memory {
  /// Counted up with members that a 0 does not stand in for.
  static constexpr std::uint32_t layout = 1;

  struct place {
    std::uint32_t index;
    std::int32_t descriptor;
    pid_t pid;
    keeper_wire::process_end end;
  };
  std::uint32_t size, place_size;  ///< of the two structs as they were written
  pid_t keeper;
  std::uint32_t places;

  pid_t master;
  std::int32_t master_pidfd, master_socket;
  std::uint32_t deaths;
  std::int32_t last_by_signal, last_number;
  keeper_wire::record last_master, upgraded;
  std::int32_t asked_to_stop;
  siginfo_t stop;
  std::int64_t stop_passed_at, settled_at;
  unheld_ends unheld;
  std::uint32_t strangers;
  pid_t last_guard, last_candidate;

  // Of its masters.
  sigset_t mask;
  rlimit descriptors;
  char path[PATH_MAX];
};

}  // namespace supervisor
