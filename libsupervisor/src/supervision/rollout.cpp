#include "supervision/rollout.hpp"

#include <algorithm>

#include "host/span.hpp"
#include "supervision/events.hpp"

namespace supervisor {

namespace {

bool leaves_first(const pool_state& p) noexcept { return p.roll.plan.max_unavailable > 0; }

/// Of the wanted generation, and not to leave.
bool is_new(const pool_state& p, const slot_state& s) noexcept {
  return s.retiring == exit_cause::none && s.generation == p.generation;
}

bool has_successor(const pool_state& p, const slot_state& old) noexcept {
  return std::ranges::any_of(p.slots,
                             [&](auto& s) { return s.on_trial() && s.replaces == old.id; });
}

unsigned count(const pool_state& p, auto&& such) noexcept {
  return static_cast<unsigned>(std::ranges::count_if(p.slots, such));
}
unsigned count_new(const pool_state& p) noexcept {
  return count(p, [&](auto& s) { return is_new(p, s); });
}
unsigned count_staying(const pool_state& p) noexcept {
  return count(p, [](auto& s) { return s.stays(); });
}

unsigned canaries(const pool_state& p) noexcept { return std::min(p.roll.plan.canary, p.wanted()); }
bool before_canary_passed(const pool_state& p) noexcept { return p.rolling && !p.roll.baked; }

/// Places without a worker that stays: theirs has left first, or they are new.
unsigned free_places(const pool_state& p) noexcept {
  auto taken = count_staying(p);
  return p.wanted() > taken ? p.wanted() - taken : 0;
}

/// The next old one: rather one that does not serve.
const slot_state* next_old(const pool_state& p) noexcept {
  const slot_state* found = nullptr;
  for (auto& s : p.slots) {
    if (!s.stays() || s.generation == p.generation || has_successor(p, s)) continue;
    if (!s.arrived()) return &s;
    if (!found) found = &s;
  }
  return found;
}

std::optional<event> surge(const pool_state& p) {
  auto flying = count(p, [&](auto& s) {
    if (!s.on_trial() || s.generation != p.generation) return false;
    auto* old = p.find(s.replaces);
    return old && old->generation != p.generation;
  });
  bool more = before_canary_passed(p) ? count_new(p) < canaries(p) : flying < p.roll.plan.batch;
  auto* old = more ? next_old(p) : nullptr;
  if (!old) return {};
  return successor_of(p, *old, p.generation);
}

std::optional<event> let_one_leave(const pool_state& p) {
  auto* old = next_old(p);
  if (!old) return {};
  auto free = free_places(p);
  auto rising = count(p, [&](auto& s) { return is_new(p, s) && !s.arrived(); });
  auto missing =
      p.wanted() - std::min(p.wanted(), count(p, [](auto& s) { return s.stays() && s.arrived(); }));
  bool more = before_canary_passed(p) ? count_new(p) + free < canaries(p)
                                      : rising + free < p.roll.plan.batch;
  bool spare = old->now != phase::ready || missing < p.roll.plan.max_unavailable;
  if (!more || !spare) return {};
  return retire(p, *old, exit_cause::replaced, p.last_command);
}

void rest(rollout_state& r) noexcept {
  r.bake = 0;
  r.bake_until = never;
  r.judged = false;
}

void moved(pool_state& p, time_point at) noexcept {
  bool watched = p.rolling && !p.roll.paused && !p.drained && !p.stopping &&
                 p.roll.plan.progress_deadline > duration{};
  p.roll.progress_by = watched ? later(at, p.roll.plan.progress_deadline) : never;
}

constexpr std::size_t most_remembered = 20;

void begin_record(pool_state& p, const event& e, rollout_end end) {
  rollout_record r;
  r.id = e.id;
  r.generation = e.generation;
  r.what = e.text;
  r.began = e.wall;
  r.end = end;
  if (end != rollout_end::running) r.ended = e.wall;
  p.history.push_back(std::move(r));
  if (p.history.size() > most_remembered) p.history.pop_front();
}

void end_record(pool_state& p, const event& e, rollout_end end) {
  auto& last = p.history.back();
  if (last.end != rollout_end::running) return;
  last.end = end;
  last.ended = e.wall;
  if (end != rollout_end::superseded) last.why = e.text;
}

void begin(pool_state& p, const event& e) {
  if (p.rolling) end_record(p, e, rollout_end::superseded);
  begin_record(p, e, rollout_end::running);
  p.generation = e.generation;
  p.last_generation = std::max(p.last_generation, e.generation);
  p.rolling = true;
  p.drained = p.escalated = false;
  p.last_trouble = {};
  p.roll = {};
  if (e.plan) p.roll.plan = *e.plan;
  p.roll.baked = p.roll.plan.canary == 0;
}

/// What is left is how it goes on, or back.
void end(pool_state& p) {
  p.rolling = false;
  auto plan = p.roll.plan;
  p.roll = {};
  p.roll.plan = plan;
}

void commit(pool_state& p, const event& e) {
  if (p.committed != e.generation) {
    std::erase(p.kept, e.generation);
    p.kept.push_front(p.committed);
  }
  if (p.kept.size() > p.roll.plan.keep_generations) p.kept.resize(p.roll.plan.keep_generations);
  p.committed = e.generation;
  end_record(p, e, rollout_end::committed);
  end(p);
}

void fail(pool_state& p, const event& e) {
  end_record(p, e, e.count ? rollout_end::aborted : rollout_end::failed);
  p.generation = p.committed;
  end(p);
}

void take_verdict(rollout_state& r, const event& e) {
  r.judged = e.count != 0;
  if (r.judged) return;
  r.trouble = "health check: " + e.text;
  r.trouble_event = e.id;
}

/// What happens to a worker of the new generation.
void look_at_worker(pool_state& p, const event& e) {
  auto* s = p.rolling ? p.find(e.slot_id) : nullptr;
  if (!s || s->generation != p.generation) return;
  bool leaves = s->retiring != exit_cause::none;
  bool gone = e.kind == event_kind::worker_exited ? !leaves : e.kind == event_kind::slot_retiring;
  if (gone && !p.roll.baked) rest(p.roll);  // it bakes anew when the canary is complete again
  if (e.kind == event_kind::worker_ready && p.roll.baked) moved(p, e.at);
}

}  // namespace

rollout_stage stage_of(const pool_state& p) noexcept {
  if (!p.rolling) {
    bool all = std::ranges::all_of(
        p.slots, [&](auto& s) { return !s.stays() || s.generation == p.generation; });
    return all ? rollout_stage::none : rollout_stage::going_back;
  }
  if (!p.roll.opened) return rollout_stage::opening;
  if (p.roll.baked) return rollout_stage::replacing;
  return p.roll.bake ? rollout_stage::baking : rollout_stage::canary;
}

std::string_view to_string(rollout_stage stage) noexcept {
  switch (stage) {
    case rollout_stage::none:
      return "";
    case rollout_stage::opening:
      return "opening";
    case rollout_stage::canary:
      return "canary";
    case rollout_stage::baking:
      return "baking";
    case rollout_stage::replacing:
      return "replacing";
    case rollout_stage::going_back:
      return "going back";
  }
  return "";
}

std::optional<event> give_rollout_up(const pool_state& p, time_point now) {
  if (!p.rolling || p.stopping) return {};
  auto& r = p.roll;
  bool stuck = now >= r.progress_by;
  if (r.trouble.empty() && !stuck) return {};
  auto e = of_pool(event_kind::rollout_failed, p, stuck ? p.last_command : r.trouble_event);
  e.text = r.trouble;
  if (r.trouble.empty())
    e.text = "no progress for " + describe(r.plan.progress_deadline) + " (" +
             std::string(to_string(stage_of(p))) + ")";
  return e;
}

std::optional<event> advance_canary(const pool_state& p, time_point now) {
  auto stage = stage_of(p);
  auto& r = p.roll;
  if (r.paused || p.drained || p.stopping) return {};
  if (stage == rollout_stage::canary) {
    auto serving = count(p, [&](auto& s) { return is_new(p, s) && s.arrived(); });
    if (serving < canaries(p)) return {};
    bool watched = canaries(p) > 0 && (r.plan.bake > duration{} || r.plan.ask_every > duration{});
    auto kind = watched ? event_kind::rollout_baking : event_kind::rollout_baked;
    auto e = of_pool(kind, p, p.last_command);
    if (watched) e.deadline = later(now, r.plan.bake);
    return e;
  }
  if (stage != rollout_stage::baking || now < r.bake_until) return {};
  if (r.plan.ask_every > duration{} && !r.judged) return {};
  return of_pool(event_kind::rollout_baked, p, p.last_command);
}

bool may_take_over(const pool_state& p, const slot_state& s) noexcept {
  auto* old = p.find(s.replaces);
  bool rolled_out = p.rolling && s.generation == p.generation && old->generation != s.generation;
  return !rolled_out || (p.roll.baked && !p.roll.paused);
}

std::uint64_t generation_of_added(const pool_state& p) noexcept {
  if (!before_canary_passed(p)) return p.rolling && !p.roll.opened ? p.committed : p.generation;
  bool canary = p.roll.opened && leaves_first(p) && count_new(p) < canaries(p);
  return canary ? p.generation : p.committed;
}

unsigned held_places(const pool_state& p) noexcept {
  if (!leaves_first(p)) return 0;
  return count(p, [](auto& s) { return s.retiring == exit_cause::replaced; });
}

std::optional<event> replace_one(const pool_state& p) {
  if (p.rolling && (!p.roll.opened || p.roll.paused)) return {};
  return leaves_first(p) ? let_one_leave(p) : surge(p);
}

std::optional<event> commit_rollout(const pool_state& p) {
  bool may = stage_of(p) == rollout_stage::replacing && !p.roll.paused && !p.drained && !p.stopping;
  if (!may || free_places(p) > 0) return {};
  auto done = [&](const slot_state& s) {
    return s.retiring != exit_cause::none ||
           (!s.replaces && s.generation == p.generation && s.arrived());
  };
  if (!std::ranges::all_of(p.slots, done)) return {};
  return of_pool(event_kind::rollout_committed, p, p.last_command);
}

time_point rollout_deadline(const pool_state& p) noexcept {
  if (!p.rolling || p.roll.paused || p.drained || p.stopping) return never;
  bool bakes = p.roll.bake && !awaits_verdict(p);
  return std::min(bakes ? p.roll.bake_until : never, p.roll.progress_by);
}

bool awaits_verdict(const pool_state& p) noexcept {
  return p.rolling && p.roll.bake && p.roll.plan.ask_every > duration{} && !p.roll.judged &&
         p.roll.trouble.empty();
}

bool speaks_against(exit_cause why, unsigned failures) noexcept {
  switch (why) {
    case exit_cause::crash:
    case exit_cause::boot_timeout:
    case exit_cause::launch_failure:
    case exit_cause::hang:
    case exit_cause::request_timeout:
    case exit_cause::out_of_memory:
    case exit_cause::probe:
      return true;
    // One that has served for a while may leave by itself; and nobody knows what was lost.
    case exit_cause::finished:
    case exit_cause::lost:
      return failures > 0;
    case exit_cause::none:
    case exit_cause::recycled:
    case exit_cause::scaled_down:
    case exit_cause::replaced:
    case exit_cause::stopped:
    case exit_cause::killed:
    case exit_cause::dependency:
      return false;
  }
  return false;
}

bool is_of_a_rollout(event_kind kind) noexcept {
  switch (kind) {
    case event_kind::rollout_started:
    case event_kind::program_opened:
    case event_kind::rollout_baking:
    case event_kind::rollout_baked:
    case event_kind::rollout_paused:
    case event_kind::rollout_resumed:
    case event_kind::rollout_committed:
    case event_kind::rollout_failed:
      return true;
    default:
      return false;
  }
}

void apply_to_rollout(pool_state& p, const event& e) {
  auto& r = p.roll;
  switch (e.kind) {
    case event_kind::pool_opened:
      return begin_record(p, e, rollout_end::committed);
    case event_kind::rollout_started:
      begin(p, e);
      return moved(p, e.at);
    case event_kind::program_opened:
      if (!p.rolling || e.generation != p.generation) return;
      r.opened = true;
      return moved(p, e.at);
    case event_kind::rollout_baking:
      r.bake = e.id;
      r.bake_until = e.deadline;
      r.judged = false;
      return moved(p, e.deadline);
    case event_kind::rollout_judged:
      return take_verdict(r, e);
    case event_kind::rollout_baked:
      r.baked = true;
      rest(r);
      return moved(p, e.at);
    case event_kind::rollout_paused:
    case event_kind::rollout_resumed:
      r.paused = e.kind == event_kind::rollout_paused;
      return moved(p, e.at);
    case event_kind::rollout_committed:
      return commit(p, e);
    case event_kind::rollout_failed:
      return fail(p, e);
    case event_kind::pool_drained:
    case event_kind::pool_resumed:
    case event_kind::pool_resized:
    case event_kind::pool_stopping:
      return moved(p, e.at);
    case event_kind::slot_retiring:
    case event_kind::worker_ready:
    case event_kind::worker_exited:
      return look_at_worker(p, e);
    default:
      return;
  }
}

void take_trouble(pool_state& p, const slot_state& s, std::uint64_t event_id) {
  bool rolled_out = p.rolling && s.generation == p.generation;
  if (!s.replaces && !rolled_out) return;
  p.last_trouble = {s.id, "slot " + std::to_string(s.number) + ": " + describe_exit(s)};
  if (!rolled_out) return;
  if (p.roll.trouble.empty()) p.roll.trouble_event = event_id;
  p.roll.trouble += (p.roll.trouble.empty() ? "" : "; ") + p.last_trouble.text;
}

const rollout_record* find_rollout(const pool_state& p, std::uint64_t id) noexcept {
  auto it = std::ranges::find(p.history, id, &rollout_record::id);
  return it == p.history.end() ? nullptr : &*it;
}

}  // namespace supervisor
