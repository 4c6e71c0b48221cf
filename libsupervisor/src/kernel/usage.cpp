#include "kernel/usage.hpp"

#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <sstream>
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

std::optional<time_point> started_at(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  if (!std::getline(file, text)) return {};
  // The name may hold anything, a parenthesis too. Behind it begins field 3 of proc_pid_stat(5), of
  // which the start is field 22: in ticks since the machine has booted.
  std::istringstream fields(text.substr(std::min(text.rfind(')') + 1, text.size())));
  for (int i = 3; i < 22; ++i) fields >> text;
  std::int64_t ticks = 0;
  if (!(fields >> ticks)) return {};
  const duration tick = std::chrono::nanoseconds(1'000'000'000 / ::sysconf(_SC_CLK_TCK));
  return time_point((ticks + 1) * tick - time_asleep());
}

duration time_asleep() noexcept {
  // In this order a pause between the two looks like sleep of no length, never like a long one.
  timespec awake{}, all{};
  clock_gettime(CLOCK_BOOTTIME, &all);
  clock_gettime(CLOCK_MONOTONIC, &awake);
  return as_duration(all) - as_duration(awake);
}

}  // namespace supervisor::kernel
