// Whether the kernel ended a process of our cgroup for memory.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "kernel/unique_fd.hpp"

namespace supervisor::kernel {

/// Reads oom_kill of cgroup v2's memory.events; without that file it knows of nothing.
class memory_events {
 public:
  /// `file`: empty for that of our own cgroup.
  explicit memory_events(std::string file = {});
  /// Whether a process that died at `now` may be one that was counted: each counts for one death,
  /// within a second. One of another process than ours is else taken for the next that dies.
  bool kill_counted(std::chrono::steady_clock::time_point now) noexcept;

 private:
  std::uint64_t count() const noexcept;

  unique_fd file_;
  std::uint64_t seen_ = 0;
  std::uint64_t unclaimed_ = 0;  ///< of those counted at `grown_at_`
  std::chrono::steady_clock::time_point grown_at_{};
};

}  // namespace supervisor::kernel
