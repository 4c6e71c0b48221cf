#include "control/service_words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>

#include "control/status.hpp"

namespace supervisor {

namespace {

/// What a manager adds before it takes us for hung: after the last KILL there is little left to do.
constexpr duration margin = std::chrono::seconds(10);

long long microseconds(duration d) {
  return std::chrono::duration_cast<std::chrono::microseconds>(d).count();
}

bool is_rolling(const std::vector<pool_status>& pools) {
  return std::ranges::any_of(pools, &pool_status::rolling);
}

}  // namespace

std::string service_words::tell(const event& e) {
  switch (e.kind) {
    case event_kind::signal_received:
      if (e.number != SIGHUP || !ready || stopping) return {};
      reloading = true;
      // For Type=notify-reload: of CLOCK_MONOTONIC, at or after the signal, sd_notify(3).
      return fmt::format("RELOADING=1\nMONOTONIC_USEC={}\n", microseconds(e.at.time_since_epoch()));
    case event_kind::supervisor_stopping:
      if (std::exchange(stopping, true)) return {};
      return "STOPPING=1\n" + extend(e);
    case event_kind::worker_stopping:
    case event_kind::worker_escalated:
      return stopping ? extend(e) : std::string();
    default:
      return {};
  }
}

/// By the time that is left until the event's deadline.
std::string service_words::extend(const event& e) {
  if (e.deadline == never || (leaving != never && e.deadline <= leaving)) return {};
  leaving = e.deadline;
  return fmt::format("EXTEND_TIMEOUT_USEC={}\n", microseconds(e.deadline - e.at + margin));
}

std::string service_words::look(const std::vector<pool_status>& pools) {
  std::string words;
  if (!stopping && !ready && !pools.empty() && all_ready(pools)) {
    ready = true;
    words += "READY=1\n";
  }
  if (!stopping && reloading && !is_rolling(pools)) {
    reloading = false;
    words += "READY=1\n";
  }
  auto line = (stopping ? "stopping, " : "") + status_line(pools);
  if (line != status) {
    status = line;
    words += "STATUS=" + line + '\n';
  }
  return words;
}

bool serves(const service_words& said, const std::vector<pool_status>& pools) noexcept {
  if (!said.ready || said.stopping) return true;
  return std::ranges::all_of(pools, [](const pool_status& pool) {
    return pool.drained || pool.target == 0 || pool.ready + pool.finished > 0;
  });
}

std::string status_line(const std::vector<pool_status>& pools) {
  std::string line;
  for (auto& pool : pools) {
    if (pools.size() == 1)
      line = fmt::format("{} of {} workers ready", pool.ready, pool.target);
    else
      line +=
          fmt::format("{}{} {}/{}", line.empty() ? "" : ", ", pool.name, pool.ready, pool.target);
    if (pool.drained) line += " (drained)";
    if (pool.rolling) line += ", rolling to generation " + std::to_string(pool.generation);
  }
  return line.empty() ? "no pools" : line;
}

}  // namespace supervisor
