#include "supervision/decide.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "supervision/events.hpp"
#include "supervision/rollout.hpp"

namespace supervisor {

namespace {

/// ABRT, so that there is a core to look at, and then KILL.
const std::vector<stop_step> hang_ladder{{SIGABRT, std::chrono::seconds(5)}};

/// Why a slot on trial is not to take the place it was made for; none: it still is.
exit_cause trial_is_moot(const pool_state& p, const slot_state& s) {
  if (p.wanted() == 0) return exit_cause::stopped;
  auto* old = p.find(s.replaces);
  if (!old || old->retiring != exit_cause::none) return exit_cause::scaled_down;
  bool same_program = s.generation == old->generation;
  bool still_meant = s.generation == p.generation || (same_program && !old->spent);
  return still_meant ? exit_cause::none : exit_cause::replaced;
}

unsigned count_staying(const pool_state& p) {
  return static_cast<unsigned>(std::ranges::count_if(p.slots, &slot_state::stays));
}

/// Nothing becomes of it by itself, or not soon.
bool is_quiet(const pool_state& p, const slot_state& s) {
  bool held = s.now == phase::waiting && !p.held.empty();
  return held || s.now == phase::ready || s.now == phase::backing_off || s.rests();
}

std::optional<event> retire_one(const pool_state& p) {
  for (auto& s : p.slots) {
    auto why = s.on_trial() ? trial_is_moot(p, s) : exit_cause::none;
    if (why != exit_cause::none) return retire(p, s, why, p.last_command);
  }
  if (count_staying(p) <= p.wanted()) return {};
  // Rather one that nobody is on trial for: a canary goes on.
  auto awaited = [&](auto& s) { return std::ranges::count(p.slots, s.id, &slot_state::replaces); };
  auto oldest = std::ranges::find_if(p.slots, [&](auto& s) { return s.stays() && !awaited(s); });
  if (oldest == p.slots.end()) oldest = std::ranges::find_if(p.slots, &slot_state::stays);
  auto why = p.stopping || p.drained ? exit_cause::stopped : exit_cause::scaled_down;
  return retire(p, *oldest, why, p.last_command);
}

std::optional<event> promote_one(const pool_state& p) {
  for (auto& s : p.slots) {
    if (!s.on_trial() || !s.arrived() || !may_take_over(p, s)) continue;
    auto& old = *p.find(s.replaces);  // else the trial were moot
    auto why = old.generation == s.generation ? exit_cause::recycled : exit_cause::replaced;
    return retire(p, old, why, s.last_event);
  }
  return {};
}

unsigned lowest_free_number(const pool_state& p) {
  std::vector<bool> used(p.slots.size() + 1);
  for (auto& s : p.slots)
    if (s.retiring == exit_cause::none && s.number < used.size()) used[s.number] = true;
  return static_cast<unsigned>(std::ranges::find(used, false) - used.begin());
}

std::optional<event> add_one(const pool_state& p) {
  if (count_staying(p) + held_places(p) >= p.wanted()) return {};
  auto e = of_pool(event_kind::slot_added, p, p.last_command);
  e.slot_id = p.last_slot_id + 1;
  e.slot = lowest_free_number(p);
  e.generation = generation_of_added(p);
  return e;
}

/// What is replaced in a rollout is no longer of interest; what leaves still counts.
std::optional<event> recycle_one(const pool_state& p) {
  if (p.rolling || p.wanted() == 0) return {};
  auto changes = [](auto& s) { return s.on_trial() || s.retiring == exit_cause::recycled; };
  auto under_way = std::ranges::count_if(p.slots, changes);
  for (auto& s : p.slots) {
    auto is_its_successor = [&](auto& other) { return other.on_trial() && other.replaces == s.id; };
    if (!s.stays() || under_way >= static_cast<std::ptrdiff_t>(s.at_once)) continue;
    if (std::ranges::any_of(p.slots, is_its_successor)) continue;
    auto e = successor_of(p, s, s.generation);
    e.cause = s.spent;
    return e;
  }
  return {};
}

std::optional<event> escalate(const pool_state& p) {
  if (p.escalated) return {};
  auto surrendered = std::ranges::find_if(p.slots, &slot_state::escalates);
  if (surrendered == p.slots.end()) return {};
  auto e = of_pool(event_kind::pool_escalated, p, surrendered->last_event);
  e.text = "slot " + std::to_string(surrendered->number) + ": " + describe_surrender(*surrendered);
  return e;
}

std::optional<event> finish(const pool_state& p) {
  if (!p.stopping || !p.slots.empty()) return {};
  return of_pool(event_kind::pool_stopped, p, p.last_command);
}

}  // namespace

std::optional<event> next_event(const pool_state& p, time_point now) {
  if (p.stopped) return {};
  if (auto e = give_rollout_up(p, now)) return e;
  if (auto e = advance_canary(p, now)) return e;
  for (auto decide : {retire_one, promote_one, add_one, replace_one, recycle_one, commit_rollout,
                      escalate, finish})
    if (auto e = decide(p)) return e;
  return {};
}

time_point next_look(const pool_state& p) noexcept { return rollout_deadline(p); }

std::optional<std::string> find_fault(unsigned target) {
  if (target <= most_workers) return {};
  return "a pool has at most " + std::to_string(most_workers) + " workers";
}

bool settled(const pool_state& p) {
  if (p.stopped) return true;
  if (p.stopping) return false;
  if (p.drained) return p.slots.empty();
  auto waits = [](const slot_state& s) { return s.on_trial() && s.now == phase::backing_off; };
  // One that does not start holds the way back up, for as long as it does not.
  bool blocked = std::ranges::any_of(p.slots, waits);
  auto fits = [&](const slot_state& s) {
    return waits(s) || (s.stays() && is_quiet(p, s) && (blocked || s.generation == p.generation));
  };
  return !p.rolling && count_staying(p) == p.wanted() && std::ranges::all_of(p.slots, fits);
}

bool settled_beside_rollout(const pool_state& p) {
  if (!p.rolling || p.stopping || p.drained) return settled(p);
  auto fits = [&](const slot_state& s) {
    if (s.stays()) return is_quiet(p, s);
    if (!s.on_trial()) return s.retiring == exit_cause::replaced;
    auto* old = p.find(s.replaces);
    return old && old->generation != s.generation;  // else it is a restart's
  };
  return count_staying(p) == p.wanted() && std::ranges::all_of(p.slots, fits);
}

unsigned count_ready(const pool_state& p) {
  return static_cast<unsigned>(std::ranges::count(p.slots, phase::ready, &slot_state::now));
}

bool needs_program(const pool_state& p, std::uint64_t generation) noexcept {
  if (p.stopped) return false;
  if (generation == p.generation || generation == p.committed) return true;
  return std::ranges::find(p.kept, generation) != p.kept.end() ||
         std::ranges::find(p.slots, generation, &slot_state::generation) != p.slots.end();
}

// A slot.

time_point ready_unasked(const spec& what, const slot_state& s) noexcept {
  bool by_age =
      what.ready == readiness::alive || (what.ready == readiness::automatic && !what.is_function());
  return by_age ? later(s.started_at, what.alive_for) : never;
}

bool may_extend(const pool_state& p, const slot_state& s) noexcept {
  if (p.quick) return false;
  if (s.now == phase::starting) return true;
  bool stuck = s.stopped_for == exit_cause::hang || s.stopped_for == exit_cause::request_timeout;
  return s.now == phase::stopping && !stuck;
}

bool heeds_ready(const spec& what) noexcept {
  return what.ready != readiness::alive && what.ready != readiness::probe;
}

stop_order ladder_step(const spec& what, exit_cause why, unsigned step, bool quick,
                       time_point now) {
  bool stuck = why == exit_cause::hang || why == exit_cause::request_timeout;
  auto& ladder = stuck ? hang_ladder : what.stop;
  if (step >= ladder.size()) return {SIGKILL, never};
  auto wait = quick ? std::min(ladder[step].wait, quick_step) : ladder[step].wait;
  return {ladder[step].signal, later(now, wait)};
}

exit_cause classify(const child_view* seen, exit_cause stopped_for) noexcept {
  if (seen && seen->failed)
    return seen->failed->error == ECANCELED ? exit_cause::killed : exit_cause::launch_failure;
  if (stopped_for != exit_cause::none) return stopped_for;
  if (!seen || !seen->exited || seen->exited->how() == exit_status::kind::lost)
    return exit_cause::lost;
  if (seen->out_of_memory) return exit_cause::out_of_memory;
  if (seen->exited->success()) return exit_cause::finished;
  auto signal = seen->exited->signal();
  if (!signal) return exit_cause::crash;
  // The faults that a program commits itself; any other signal was sent to it.
  for (int own : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGPIPE, SIGXCPU,
                  SIGXFSZ, SIGALRM})
    if (*signal == own) return exit_cause::crash;
  return exit_cause::killed;
}

exit_cause excuse(exit_cause why) noexcept {
  bool no_wonder = why == exit_cause::crash || why == exit_cause::boot_timeout;
  return no_wonder ? exit_cause::dependency : why;
}

bool met(need what, const pool_state* pool) noexcept {
  if (!pool || pool->stopped) return false;
  auto& slots = pool->slots;
  auto lives = [](const slot_state& s) {
    return s.now == phase::starting || s.now == phase::ready;
  };
  auto done = [](const slot_state& s) {
    return s.now == phase::finished && s.last_cause == exit_cause::finished;
  };
  switch (what) {
    case need::started:
      return std::ranges::any_of(slots, lives);
    case need::ready:
      return count_ready(*pool) > 0;
    case need::healthy:
      return pool->wanted() > 0 && count_ready(*pool) >= pool->wanted();
    case need::completed:
      return !slots.empty() && std::ranges::all_of(slots, done);
  }
  return false;
}

restart_facts facts_of(const slot_state& s, time_point now) {
  restart_facts facts;
  facts.was_ready = s.was_ready();
  if (facts.was_ready) facts.ready_for = now - s.ready_at;
  facts.now = now;
  facts.failures = s.failures;
  facts.last_delay = s.last_delay;
  facts.window = s.window;
  facts.half_open = s.half_open;
  return facts;
}

bool stays_after(const pool_state& p, const slot_state& s, exit_cause why,
                 unsigned failures) noexcept {
  if (s.retiring != exit_cause::none) return false;
  if (!s.replaces || !speaks_against(why, failures)) return true;
  auto* old = p.find(s.replaces);
  bool restarting = old && old->generation == s.generation && !old->spent;
  return !restarting && !p.rolling;
}

}  // namespace supervisor
