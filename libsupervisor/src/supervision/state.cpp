#include "supervision/state.hpp"

#include <algorithm>

#include "host/span.hpp"
#include "supervision/rollout.hpp"

namespace supervisor {

namespace {

template <typename State>
auto* find_slot(State& p, std::uint64_t id) noexcept {
  auto it = std::ranges::find(p.slots, id, &slot_state::id);
  return it == p.slots.end() ? nullptr : &*it;
}

void add_slot(pool_state& p, const event& e) {
  slot_state s;
  s.id = e.slot_id;
  s.number = e.slot;
  s.generation = e.generation;
  s.replaces = static_cast<std::uint64_t>(e.number);
  s.last_event = e.id;
  auto place = p.slots.end();
  if (s.replaces) {
    place = std::ranges::find(p.slots, s.replaces, &slot_state::id);
    if (place != p.slots.end()) s.restarts = place++->restarts;
  }
  p.slots.insert(place, std::move(s));
  p.last_slot_id = std::max(p.last_slot_id, e.slot_id);
}

void retire(pool_state& p, slot_state& s, exit_cause why) {
  s.retiring = why;
  bool idle = s.now == phase::waiting || s.now == phase::backing_off || s.rests();
  if (idle) s.now = phase::gone;
  if (std::exchange(s.escalates, false))
    p.escalated = std::ranges::any_of(p.slots, &slot_state::escalates);
  // The one that takes its place is on trial no more.
  if (why == exit_cause::replaced || why == exit_cause::recycled)
    for (auto& other : p.slots)
      if (other.replaces == s.id) other.replaces = 0;
}

void launched(pool_state& p, slot_state& s, const event& e) {
  p.budget.repaid = e.deadline;
  s.now = phase::launching;
  s.deadline = never;
  s.child = e.child;
  s.lot = static_cast<unsigned>(e.number);
  if (s.launches++) ++s.restarts;
}

void stop_step_taken(slot_state& s, const event& e) {
  s.now = phase::stopping;
  s.deadline = e.deadline;
  s.step = static_cast<unsigned>(e.count);
}

phase phase_after(const event& exit) {
  switch (exit.next) {
    case verdict::finished:
      return phase::finished;
    case verdict::given_up:
    case verdict::escalated:
      return phase::given_up;
    case verdict::again:
    case verdict::trial:
      break;
  }
  if (exit.deadline == never) return phase::gone;
  return exit.deadline > exit.at ? phase::backing_off : phase::waiting;
}

void remember_failures(slot_state& s, const event& e) {
  s.failures = static_cast<unsigned>(e.count);
  s.last_delay = e.deadline == never ? duration{} : e.deadline - e.at;
  s.half_open = e.next == verdict::trial;
  s.escalates = e.next == verdict::escalated;
  if (e.number == 0) return;
  s.window.push_back(e.at);
  auto kept = std::min(s.window.size(), static_cast<std::size_t>(e.number));
  s.window.erase(s.window.begin(), s.window.end() - static_cast<std::ptrdiff_t>(kept));
  if (s.half_open) s.window.clear();  // a trial that ends well begins a new one
}

void exited(pool_state& p, slot_state& s, const event& e) {
  remember_failures(s, e);
  s.last_cause = e.why;
  s.last_exit = e.exit;
  s.last_failure = e.launch ? e.launch->str() : "";
  s.last_exit_at = e.wall;
  if (speaks_against(e.why, s.failures)) take_trouble(p, s, e.id);
  if (e.child) p.departures.push_back({s.id, s.launches, s.number, s.generation, e.id});

  s.child = 0;
  s.pid = 0;
  s.started_at = s.ready_at = {};
  s.status.clear();
  s.reloading = false;
  s.reloads = 0;
  s.stopped_for = exit_cause::none;
  s.step = s.lot = s.at_once = 0;
  s.spent = 0;
  s.ill = false;
  s.deadline = e.deadline;
  s.now = phase_after(e);
}

void apply_to_slot(pool_state& p, slot_state& s, const event& e) {
  s.last_event = e.id;
  switch (e.kind) {
    case event_kind::slot_retiring:
      return retire(p, s, e.why);
    case event_kind::worker_launched:
      return launched(p, s, e);
    case event_kind::worker_started:
      s.now = phase::starting;
      s.pid = e.pid;
      s.started_at = e.at;
      s.deadline = e.deadline;
      return;
    case event_kind::worker_ready:
      s.now = phase::ready;
      s.ready_at = e.at;
      s.deadline = never;
      return;
    case event_kind::worker_status:
      s.status = e.text;
      return;
    case event_kind::worker_reloading:
      s.reloading = true;
      s.reloads = static_cast<unsigned>(e.count);
      return;
    case event_kind::worker_reloaded:
      s.reloading = false;
      return;
    case event_kind::worker_spent:
      s.spent = e.id;
      s.at_once = static_cast<unsigned>(e.count);
      return;
    case event_kind::worker_ailing:
      s.ill = e.count >= e.number;
      return;
    case event_kind::worker_stopping:
      s.stopped_for = e.why;
      return stop_step_taken(s, e);
    case event_kind::worker_escalated:
      return stop_step_taken(s, e);
    case event_kind::worker_extended:
      s.deadline = e.deadline;
      return;
    case event_kind::worker_exited:
      return exited(p, s, e);
    default:
      return;
  }
}

bool is_of_a_slot(event_kind kind) {
  switch (kind) {
    case event_kind::slot_retiring:
    case event_kind::worker_launched:
    case event_kind::worker_started:
    case event_kind::worker_ready:
    case event_kind::worker_status:
    case event_kind::worker_reloading:
    case event_kind::worker_reloaded:
    case event_kind::worker_spent:
    case event_kind::worker_ailing:
    case event_kind::worker_recovered:
    case event_kind::worker_stopping:
    case event_kind::worker_escalated:
    case event_kind::worker_extended:
    case event_kind::worker_exited:
      return true;
    default:
      return false;
  }
}

void resume(pool_state& p) {
  p.drained = p.escalated = false;
  for (auto& s : p.slots) {
    if (!s.rests()) continue;
    s.now = phase::waiting;
    s.failures = 0;
    s.last_delay = {};
    s.window.clear();
    s.half_open = s.escalates = false;
  }
}

void stop_pool(pool_state& p, const event& e) {
  p.stopping = true;
  if (e.count == 0 || p.quick) return;
  p.quick = true;
  for (auto& s : p.slots)
    if (s.now == phase::stopping) s.deadline = std::min(s.deadline, e.at + quick_step);
}

/// What is wanted of the whole pool. False where the event says nothing of that.
bool apply_to_pool(pool_state& p, const event& e) {
  switch (e.kind) {
    case event_kind::pool_opened:
      p.name = e.pool;
      p.target = static_cast<unsigned>(e.count);
      p.generation = p.committed = p.last_generation = e.generation;
      return true;
    case event_kind::pool_resized:
      p.target = static_cast<unsigned>(e.count);
      p.drained = false;
      return true;
    case event_kind::pool_drained:
      p.drained = true;
      p.escalated = false;
      return true;
    case event_kind::pool_resumed:
      resume(p);
      return true;
    case event_kind::pool_escalated:
      p.escalated = true;
      return true;
    case event_kind::pool_held:
      p.held = e.text;
      return true;
    case event_kind::pool_released:
      p.held.clear();
      return true;
    case event_kind::pool_stopping:
      stop_pool(p, e);
      return true;
    case event_kind::pool_stopped:
      p.stopped = true;
      return true;
    default:
      return false;
  }
}

}  // namespace

slot_state* pool_state::find(std::uint64_t id) noexcept { return find_slot(*this, id); }
const slot_state* pool_state::find(std::uint64_t id) const noexcept { return find_slot(*this, id); }

const slot_state* pool_state::keeper_of(unsigned number) const noexcept {
  for (auto& s : slots)
    if (s.number == number && s.retiring == exit_cause::none && !s.replaces) return &s;
  return nullptr;
}

void apply(pool_state& p, const event& e) {
  if (e.kind == event_kind::slot_added) {
    add_slot(p, e);
  } else if (e.kind == event_kind::slot_removed) {
    p.slots.remove_if([&](auto& s) { return s.id == e.slot_id; });
  } else if (e.kind == event_kind::worker_reported) {
    std::erase_if(p.departures, [&](auto& d) { return d.event == e.cause; });
  } else if (is_of_a_slot(e.kind)) {
    if (auto* s = p.find(e.slot_id)) apply_to_slot(p, *s, e);
  } else if (apply_to_pool(p, e) || is_of_a_rollout(e.kind)) {
    p.last_command = e.id;
  }
  apply_to_rollout(p, e);
}

std::string describe_surrender(const slot_state& s) {
  auto how = s.last_failure.empty() ? s.last_exit.str() : s.last_failure;
  if (s.window.size() < 2) return how;
  return std::to_string(s.window.size()) + " failures in " +
         describe(s.window.back() - s.window.front()) + ", " + how;
}

std::string describe_exit(const slot_state& s) {
  if (s.last_cause == exit_cause::none) return {};
  auto how = s.last_failure.empty() ? s.last_exit.str() : s.last_failure;
  return how + " (" + std::string(to_string(s.last_cause)) + ")";
}

}  // namespace supervisor
