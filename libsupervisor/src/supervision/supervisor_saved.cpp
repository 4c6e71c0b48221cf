// A supervisor that outlives its process: what it knows is saved, and gone on from.
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>
#include <csignal>

#include "supervision/saved.hpp"
#include "supervision/supervisor_impl.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

/// Events that only the log knew when the process died had ids, too.
constexpr std::uint64_t unsaved_ids = 1000;
/// How soon saving is tried again.
constexpr auto pause_of_saving = std::chrono::seconds(1);

/// What the states of pools and groups do not tell of themselves.
bool is_for_all(event_kind kind) {
  switch (kind) {
    case event_kind::supervisor_stopping:
    case event_kind::listener_opened:
    case event_kind::listener_closed:
    case event_kind::pool_opened:
    case event_kind::pool_stopping:
    case event_kind::pool_stopped:
    case event_kind::group_opened:
    case event_kind::group_stopped:
    case event_kind::group_released:
      return true;
    default:
      return false;
  }
}

/// From the loop, behind what is ready now and the so many turns that follow from it.
void post_after(const asio::any_io_executor& executor, unsigned turns, std::function<void()> work) {
  asio::post(executor, [executor, turns, work = std::move(work)]() mutable {
    if (turns == 0) return work();
    post_after(executor, turns - 1, std::move(work));
  });
}

}  // namespace

std::shared_ptr<pool_keeper> supervisor::impl::adopt(pool_state state, program_specs specs) {
  auto keeper = add(std::move(state), std::move(specs));
  adopted.insert(keeper->name());
  keeper->start();
  return keeper;
}

void supervisor::impl::restore() {
  auto parts = outside.saved();
  if (parts.empty()) return;
  auto all = read_supervisor(parts);
  log.go_on_after(all.last_event + unsaved_ids);
  goes_on = true;
  for (auto& p : all.pools)
    if (!p.state.stopped) adopt(std::move(p.state), std::move(p.specs));
  for (auto& g : all.groups) {
    auto group = g.name;
    written.insert_or_assign(std::move(group), std::move(g));
  }
  if (all.stopping) request_stop(all.quick);
  beside = std::move(all.beside);
  save_later();
}

/// What an event changes is kept with it, before anything follows from it: nobody has seen what the
/// next one does not know.
void supervisor::impl::keep(const event& e) {
  last_event_ = e.id;
  if (!outside.is_kept()) return;
  // Signals may come by the ten thousand, and nothing follows from one of them alone.
  if (e.kind != event_kind::signal_received) {
    saved_step change;
    change.what = e;
    if (auto p = e.kind == event_kind::rollout_started ? find(e.pool) : nullptr)
      change.program = p->specs().at(e.generation);
    outside.save_change(write(change));
  }
  if (is_for_all(e.kind)) save_later();
}

void supervisor::impl::keep_beside(std::string bytes) {
  beside = std::move(bytes);
  if (!outside.is_kept()) return;
  saved_step change;
  change.beside = beside;
  outside.save_change(write(change));
}

/// Once what the event concerns has taken it in, and before it is told anywhere. One that goes on
/// from another lets its pools find first what that has left.
void supervisor::impl::save_later() {
  if (!outside.is_kept() || std::exchange(saving_, true)) return;
  const unsigned turns = goes_on && !saved_once_ ? 2 : 0;
  post_after(executor, turns, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->save();
  });
}

void supervisor::impl::save() {
  saving_ = false;
  saved_once_ = true;
  saved_supervisor all;
  all.last_event = last_event_;
  all.stopping = stopping || stop_requested || stop_announced;
  all.quick = interrupted;
  all.beside = beside;
  for (auto& p : pools)
    if (!p->state().stopped) all.pools.push_back({p->state(), p->specs()});
  for (auto& g : groups)
    if (g->state().now != group_phase::stopped) all.groups.push_back(g->state());
  for (auto& [group, state] : written) all.groups.push_back(state);
  try {
    outside.save(write(all), all.stopping);
    failed_save_ = {};
  } catch (const boost::system::system_error& error) {
    outside.call_at(later(outside.now(), pause_of_saving), [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->save_later();
    });
    if (std::exchange(failed_save_, error.code()) == error.code()) return;
    event e{event_kind::note};
    e.text = std::string("what is known now would be lost with the master: ") + error.what();
    log.record(std::move(e));
  }
}

}  // namespace supervisor
