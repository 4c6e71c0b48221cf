// The scaling policies: a decision each, and a coroutine that looks and resizes.
#include "supervisor/scaling.hpp"

#include <algorithm>
#include <cmath>

namespace asio = boost::asio;

namespace supervisor {

namespace {

asio::awaitable<void> pause(supervisor& self, duration period) {
  auto tenth = static_cast<double>(period.count()) / 10;
  auto shift = tenth * (static_cast<double>(self.random() >> 11) / 0x1p52 - 1);
  return self.sleep_for(period + duration(static_cast<duration::rep>(shift)));
}

bool nothing_moves(const load& seen, unsigned workers) {
  return seen.busy + seen.queued + seen.coming == 0 && workers == seen.workers;
}

}  // namespace

// Spare workers.

unsigned wanted(const spare_workers& policy, const load& seen, spare_state& state) {
  auto spare = seen.idle + seen.coming;
  auto workers = seen.workers;
  if (spare < policy.min_spare) {
    workers += std::min(state.rate, policy.min_spare - spare);
    state.rate = std::min(state.rate * 2, 32u);
  } else {
    state.rate = 1;
    if (seen.idle > policy.max_spare) --workers;
  }
  return std::clamp(workers, policy.least, std::max(policy.least, policy.most));
}

asio::awaitable<void> scale(supervisor& self, pool p, spare_workers policy) {
  load_meter meter(p);
  spare_state state;
  for (;;) {
    co_await pause(self, policy.period);
    auto seen = meter.read();
    if (seen.closed) co_return;
    auto workers = wanted(policy, seen, state);
    resize_for(self, p, seen, workers);
    if (nothing_moves(seen, workers)) co_await connection_waits(p);
  }
}

// On demand.

unsigned wanted(const on_demand& policy, const load& seen, time_point now, demand_state& state) {
  auto free = seen.idle + seen.coming;
  if (seen.queued > free) {
    state = {};
    return std::min(seen.workers + seen.queued - free, policy.most);
  }
  auto workers = std::min(seen.workers, policy.most);
  if (state.since == time_point{}) state = {now, seen.idle};
  state.spare = std::min(state.spare, seen.idle);
  if (now - state.since < policy.idle_for) return workers;
  workers -= std::min(workers, state.spare);
  state = {now, seen.idle};
  return workers;
}

asio::awaitable<void> scale(supervisor& self, pool p, on_demand policy) {
  load_meter meter(p);
  demand_state state;
  for (;;) {
    bool sleeps = p.size() == 0;
    if (sleeps)
      co_await connection_waits(p);
    else
      co_await pause(self, policy.period);
    auto seen = meter.read();
    if (seen.closed) co_return;
    auto workers = wanted(policy, seen, self.now(), state);
    resize_for(self, p, seen, workers);
    // One that another worker took, or that nobody is to take now.
    if (sleeps && p.size() == 0) co_await pause(self, policy.period);
  }
}

// By backlog.

unsigned wanted(const by_backlog& policy, const load& seen, time_point now, backlog_state& state) {
  constexpr unsigned most_patience = 64;
  const auto most = std::max(policy.least, policy.most);
  auto workers = seen.workers;
  if (state.since == time_point{}) {
    state.since = now;
    state.spare = seen.idle;
  }
  state.spare = std::min(state.spare, seen.idle);
  if (seen.queued > policy.depth && seen.coming == 0) {
    if (state.shrunk) state.patience = std::min(state.patience * 2, most_patience);
    state.shrunk = false;
    state.since = {};
    workers += std::min(seen.queued - policy.depth, std::max(seen.workers, 1u));
  } else if (seen.queued > policy.depth || seen.coming > 0) {
    state.since = {};
  } else if (now - state.since >= policy.calm * state.patience) {
    state.shrunk = state.spare > 0 && workers > policy.least;
    workers -= state.shrunk;
    state.since = {};
  }
  return std::clamp(workers, policy.least, most);
}

asio::awaitable<void> scale(supervisor& self, pool p, by_backlog policy) {
  load_meter meter(p);
  backlog_state state;
  for (;;) {
    co_await pause(self, policy.period);
    auto seen = meter.read();
    if (seen.closed) co_return;
    auto workers = wanted(policy, seen, self.now(), state);
    resize_for(self, p, seen, workers);
    bool least = workers == seen.workers && workers <= policy.least;
    if (least && seen.queued + seen.coming == 0) co_await connection_waits(p);
  }
}

// By a user's metric.

unsigned wanted(const by_metric& policy, const load& seen, double value, time_point now,
                metric_state& state) {
  auto& recent = state.recent;
  if (value >= 0) {
    while (!recent.empty() && recent.back().second <= value) recent.pop_back();
    recent.emplace_back(now, value);
  }
  while (recent.size() > 1 && now - recent.front().first > policy.window) recent.pop_front();
  auto most = std::max(policy.least, policy.most);
  if (recent.empty()) return std::clamp(seen.workers, policy.least, most);
  auto asked = std::min(std::ceil(recent.front().second), static_cast<double>(most));
  return std::clamp(static_cast<unsigned>(asked), policy.least, most);
}

asio::awaitable<void> scale(supervisor& self, pool p, by_metric policy) {
  load_meter meter(p);
  metric_state state;
  for (;;) {
    auto asking = policy.ask();
    auto value = co_await std::move(asking);
    auto seen = meter.read();
    if (seen.closed) co_return;
    auto workers = wanted(policy, seen, value, self.now(), state);
    resize_for(self, p, seen, workers);
    co_await pause(self, policy.period);
  }
}

}  // namespace supervisor
