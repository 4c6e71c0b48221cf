// Whether the kernel ended a process of our cgroup for memory.
#pragma once

#include <cstdint>
#include <string>

#include "kernel/unique_fd.hpp"

namespace supervisor::kernel {

/// Reads oom_kill of cgroup v2's memory.events; without that file it knows of nothing.
class memory_events {
 public:
  /// `file`: empty for that of our own cgroup.
  explicit memory_events(std::string file = {});
  /// Whether the count has grown since the last call.
  bool kill_counted() noexcept;

 private:
  std::uint64_t count() const noexcept;

  unique_fd file_;
  std::uint64_t seen_ = 0;
};

}  // namespace supervisor::kernel
