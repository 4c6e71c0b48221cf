#include "kernel/usage.hpp"

#include <unistd.h>

#include <ctime>
#include <fstream>
#include <string>

namespace supervisor::kernel {

namespace {

duration as_duration(const timespec& t) {
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

std::optional<std::uint64_t> proportional(const std::string& folder) {
  std::ifstream rollup(folder + "smaps_rollup");
  std::string line;
  while (std::getline(rollup, line))
    if (line.starts_with("Pss:")) return std::stoull(line.substr(4)) * 1024;
  return {};
}

}  // namespace

std::optional<std::uint64_t> memory_of(pid_t pid) {
  auto folder = "/proc/" + std::to_string(pid) + '/';
  if (auto pss = proportional(folder)) return pss;
  std::ifstream statm(folder + "statm");
  std::uint64_t size = 0, resident = 0, shared = 0;
  if (!(statm >> size >> resident >> shared) || resident == 0) return {};
  return (resident - shared) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

std::optional<duration> cpu_time_of(pid_t pid) noexcept {
  clockid_t clock = 0;
  timespec used{};
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0) return {};
  return as_duration(used);
}

duration time_asleep() noexcept {
  // In this order a pause between the two looks like sleep of no length, never like a long one.
  timespec awake{}, all{};
  clock_gettime(CLOCK_BOOTTIME, &all);
  clock_gettime(CLOCK_MONOTONIC, &awake);
  return as_duration(all) - as_duration(awake);
}

}  // namespace supervisor::kernel
