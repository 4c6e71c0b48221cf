#include "simulation/invariants.hpp"

#include <algorithm>

#include "simulation/virtual_loop.hpp"
#include "supervision/decide.hpp"
#include "supervision/group_keeper.hpp"
#include "supervision/pool_keeper.hpp"

namespace supervisor {

namespace {

/// The most workers that a rollout adds to those that are wanted.
std::ptrdiff_t surge(const pool_state& p) {
  return std::max(p.roll.plan.canary, p.roll.plan.batch);
}

std::string name_of(const pool_state& p, const slot_state& s) {
  return p.name + "." + std::to_string(s.number);
}

std::string name_of(const event& e) {
  return e.pool + "." + std::to_string(e.slot) + " pid " + std::to_string(e.pid);
}

/// It takes the place of a worker of another generation.
bool rolled_in(const pool_state& p, const slot_state& s) {
  auto* old = s.on_trial() && s.generation == p.generation ? p.find(s.replaces) : nullptr;
  return old && old->generation != s.generation;
}

/// While one of these is so, the pool waits for the world and not for itself.
bool world_is_slow(const pool_keeper& keeper) {
  auto& p = keeper.state();
  if (p.rolling && (!p.roll.opened || p.roll.bake || p.roll.paused)) return true;
  if (p.slots.empty()) return true;  // of the last one the report is to come
  return std::ranges::any_of(p.slots, [&](auto& s) {
    return s.now == phase::launching ||
           (s.now == phase::waiting && !keeper.program(s.generation).open);
  });
}

duration sum_of_deadlines(const pool_keeper& keeper) {
  constexpr auto stuck = std::chrono::seconds(5);  // the ladder of one that hangs
  duration sum{};
  for (auto& s : keeper.state().slots) {
    auto& what = keeper.what(s.generation);
    auto one = what.boot_timeout + what.alive_for + stuck;
    for (auto& step : what.stop) one = one + step.wait;
    sum += 2 * one;  // a rollout, and its undoing
  }
  return sum + std::chrono::seconds(1);
}

/// By a rule of its own, not by the decision's. Null: there is no such pool.
bool is_there(need what, const pool_state* p) {
  if (!p || p->stopped) return false;
  std::size_t live = 0, ready = 0, done = 0;
  for (auto& s : p->slots) {
    live += s.pid && (s.now == phase::starting || s.now == phase::ready);
    ready += s.now == phase::ready;
    done += s.now == phase::finished && s.last_cause == exit_cause::finished;
  }
  if (what == need::completed) return done > 0 && done == p->slots.size();
  if (what == need::healthy) return ready > 0 && ready >= p->wanted();
  return what == need::ready ? ready > 0 : live > 0;
}

std::string who_blocks(const pool_state& p) {
  std::string names;
  for (auto& s : p.slots)
    if (s.now != phase::ready || s.replaces || s.retiring != exit_cause::none)
      names += (names.empty() ? "" : ", ") + name_of(p, s);
  return names.empty() ? p.name : names;
}

}  // namespace

void invariants::fail(std::string what) {
  if (broken_.empty()) broken_ = std::move(what);
}

void invariants::watch(const supervisor* self) {
  died_ = died_ || (self_ && self != self_);
  self_ = self;
}

const pool_state* invariants::state(const std::string& pool) const {
  auto found = self_ ? self_->find_pool(pool) : std::nullopt;
  return found ? &found->keeper().state() : nullptr;
}

bool invariants::keeps_group(const std::string& name) const {
  auto is_it = [&](const group& g) { return g.name() == name && g.keeper().running(); };
  return self_ && std::ranges::any_of(self_->groups(), is_it);
}

// Each event.

void invariants::take_in(const event& e) noexcept {
  if (e.cause >= e.id) fail("event " + std::to_string(e.id) + ": its cause comes after it");
  changed_ = true;
  groups_.take_in(e);
  if (e.pool.empty()) return;
  auto& pool = pools_[e.pool];
  if (e.kind == event_kind::pool_opened) {
    pool = {};
    pool.folded.name = e.pool;
  }
  pool.changed = true;
  switch (e.kind) {
    case event_kind::worker_stopping:
    case event_kind::worker_escalated:
    case event_kind::worker_signalled:
      take_in_stop(e);
      break;
    case event_kind::worker_launched:
      take_in_launch(e);
      break;
    case event_kind::worker_reported:
      take_in_report(e);
      break;
    case event_kind::slot_retiring:
      take_in_retirement(pool.folded, e);
      break;
    case event_kind::worker_exited:
      // What it did itself is news; what it was told to do is not.
      if (auto* s = pool.folded.find(e.slot_id); s && s->stopped_for == exit_cause::none)
        pool.settling = {};
      break;
    default:
      break;
  }
  auto command = pool.folded.last_command;
  apply(pool.folded, e);
  if (pool.folded.last_command != command) pool.settling = {};
}

void invariants::take_in_stop(const event& e) {
  if (e.kind == event_kind::worker_stopping && e.why == exit_cause::none)
    fail(name_of(e) + ": it is told to stop for no reason");
  reasons_.emplace(e.child, e.number);
}

void invariants::take_in_report(const event& e) {
  if (e.pid <= 0) return;
  if (++reports_[e.pid] > 1) fail(name_of(e) + ": it is reported twice");
}

/// What counts is what the generation needs that the pool wants.
void invariants::take_in_launch(const event& e) {
  auto found = self_ ? self_->find_pool(e.pool) : std::nullopt;
  if (!found) return;
  for (auto& needed : found->what().needs) {
    auto other = pools_.find(needed.pool);
    if (!is_there(needed.what, other == pools_.end() ? nullptr : &other->second.folded))
      fail(e.pool + "." + std::to_string(e.slot) + ": it is started without " + needed.pool + ": " +
           std::string(to_string(needed.what)));
  }
}

void invariants::take_in_retirement(const pool_state& p, const event& e) {
  auto* old = p.find(e.slot_id);
  bool gives_way = e.why == exit_cause::replaced || e.why == exit_cause::recycled;
  if (!old || !gives_way || !old->stays()) return;
  bool ready = std::ranges::any_of(
      p.slots, [&](auto& s) { return s.replaces == old->id && s.on_trial() && s.arrived(); });
  if (auto most = p.roll.plan.max_unavailable; most > 0 && !ready) {
    auto left = std::ranges::count_if(
        p.slots, [&](auto& s) { return s.stays() && s.arrived() && s.id != old->id; });
    ready = !old->arrived() || left + most >= p.wanted();
  }
  if (!ready) fail(name_of(e) + ": it is told to leave for one that is not ready");
}

// Each step.

void invariants::look() {
  look_at_signals();
  if (!std::exchange(changed_, false)) return;
  for (auto& [name, pool] : pools_) {
    if (!std::exchange(pool.changed, false)) continue;
    auto* now = state(name);
    if (now && *now != pool.folded) fail(name + ": its state is not the fold of its events");
    auto more = std::ranges::count_if(pool.folded.slots,
                                      [&](auto& s) { return rolled_in(pool.folded, s); });
    if (more > surge(pool.folded)) fail(name + ": a rollout has too many workers on trial");
  }
  look_at_children();
}

void invariants::look_at_signals() {
  for (; signals_seen_ < host_.sent.size(); ++signals_seen_) {
    auto& [child, number] = host_.sent[signals_seen_];
    auto reason = reasons_.find({child, number});
    if (reason != reasons_.end())
      reasons_.erase(reason);
    else
      fail(signal_name(number) + " is sent to child " + std::to_string(child) +
           " and no event says why");
  }
}

/// A slot names one child, so that each is its slot's means that no slot has
/// two.
void invariants::look_at_children() {
  if (!self_) return;
  auto pool = pools_.end();  // most often that of the child before
  host_.each_living([&](child_id id, const launch_request& request) {
    auto& key = request.key;
    if (pool == pools_.end() || pool->first != key.pool) pool = pools_.find(key.pool);
    auto* s = pool == pools_.end() ? nullptr : pool->second.folded.find(key.slot_id);
    if (!s || s->child != id || s->launches != key.launch)
      fail(key.pool + ", pid " + std::to_string(host_.look(id).pid) + ": it is no slot's worker");
  });
}

// Before time passes.

void invariants::at_rest() {
  auto now = host_.now();
  auto passed = now - last_rest_.value_or(now);
  last_rest_ = now;
  if (!self_) return;
  for (auto& [name, pool] : pools_) rest_of(name, pool, passed);
  groups_.at_rest([this](auto& name) { return keeps_group(name); },
                  [this](auto& coroutine) { return host_.loop().is_busy(coroutine); });
}

void invariants::rest_of(const std::string& name, watched_pool& pool, duration passed) {
  auto now = host_.now();
  auto found = self_->find_pool(name);
  if (!found || found->keeper().state().stopped) return;
  auto& keeper = found->keeper();
  auto& p = keeper.state();
  auto undecided = next_event(p, now);
  if (undecided && undecided->kind != event_kind::pool_stopped)
    fail(name + ": what could be decided is not: " + std::string(to_string(undecided->kind)));
  if (std::ranges::count_if(p.slots, &slot_state::stays) > static_cast<std::ptrdiff_t>(p.wanted()))
    fail(name + ": it has more workers than are wanted");
  for (auto& s : p.slots) {
    bool bound = s.now == phase::starting || s.now == phase::stopping;
    if (bound && s.deadline <= now) fail(name_of(p, s) + ": its deadline has passed unheeded");
  }
  auto& trial = pool.settling;
  if (settled(p)) trial = {};
  if (trial.counts) trial.lasts += passed;
  trial.counts = !settled(p) && !world_is_slow(keeper);
  trial.allowed = std::max(trial.allowed, sum_of_deadlines(keeper));
  if (trial.lasts > trial.allowed)
    fail(who_blocks(p) +
         ": it keeps the pool from settling for longer than "
         "all deadlines together");
}

void invariants::at_end() {
  for (auto& left : host_.leftovers()) fail(left + ": it is left behind");
  for (auto& coroutine : host_.loop().busy())
    fail(coroutine + ": it outlives the group that it belongs to");
  groups_.at_end([this](auto& name) { return keeps_group(name); });
  for (auto& [name, pool] : pools_) {
    auto* now = state(name);
    if (now && !now->stopped) fail(name + ": it is not stopped");
  }
  // One that was never made has no pid, and a supervisor that was killed takes
  // reports along.
  auto made = host_.made();
  if (!died_ && reports_.size() != made)
    fail(std::to_string(made) + " processes were made, and " + std::to_string(reports_.size()) +
         " reported");
}

}  // namespace supervisor
