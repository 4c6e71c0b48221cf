// What scaling policies see of a pool, and what they do to it.
#include <fmt/format.h>

#include "supervision/pool_keeper.hpp"
#include "supervisor/scaling.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

/// The host calls nobody who has gone.
struct queue_watch {
  host& outside;
  watch_id id;
  ~queue_watch() { outside.cancel_watch(id); }
};

asio::awaitable<bool> watch_queue(host& outside, listener_names listeners, time_point deadline) {
  condition changed(outside);
  bool waits = false;
  auto readable = [&] {
    waits = true;
    changed.notify();
  };
  queue_watch watching{outside, outside.watch_queue(listeners, readable)};
  while (!waits && outside.now() < deadline) co_await changed.wait(deadline);
  co_return waits;
}

}  // namespace

std::string load::str() const {
  return fmt::format("{} busy, {} idle, {} coming, {} waiting", busy, idle, coming, queued);
}

load_meter::load_meter(pool p) : pool_(std::move(p)) {}

load load_meter::read() {
  auto& keeper = pool_.keeper();
  auto& state = keeper.state();
  load seen;
  seen.workers = state.target;
  seen.drained = state.drained;
  seen.closed = state.stopping || keeper.dismissed();
  for (auto& s : state.slots) {
    if (s.now != phase::ready || s.replaces || s.retiring != exit_cause::none) continue;
    ++(is_busy(s.child) ? seen.busy : seen.idle);
  }
  before_ = std::exchange(now_, {});
  auto ready = seen.busy + seen.idle;
  seen.coming = seen.workers > ready ? seen.workers - ready : 0;
  if (!seen.closed) seen.queued = keeper.outside().queued(keeper.what(state.generation).listeners);
  return seen;
}

bool load_meter::is_busy(std::uint64_t child) {
  auto& outside = pool_.keeper().outside();
  if (auto board = outside.sample(child)) return board->in_flight > 0 || board->connections > 0;
  look latest;
  latest.at = outside.now();
  latest.used = outside.cpu_time(child).value_or(duration{});
  now_[child] = latest;
  auto before = before_.find(child);
  if (before == before_.end()) return true;
  return (latest.used - before->second.used) * 100 > latest.at - before->second.at;
}

asio::awaitable<bool> connection_waits(pool p, time_point deadline) {
  auto& keeper = p.keeper();
  auto listeners = keeper.what(keeper.state().generation).listeners;
  return watch_queue(keeper.outside(), std::move(listeners), deadline);
}

void resize_for(supervisor& self, pool& p, const load& seen, unsigned workers) {
  if (workers == seen.workers || seen.drained || seen.closed) return;
  event e{event_kind::note};
  e.pool = p.name();
  e.text = fmt::format("{}: {}", p.name(), seen.str());
  auto reason = self.log().record(std::move(e));
  journal::because cause(self.log(), reason);
  // Recorded at its call; whether it has settled is seen at the next look.
  static_cast<void>(p.resize(workers));
}

}  // namespace supervisor
