#include "supervision/decide.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>

namespace supervisor {

namespace {

/// ABRT, so that there is a core to look at, and then KILL.
const std::vector<stop_step> hang_ladder{{SIGABRT, std::chrono::seconds(5)}};

bool stays(const slot_state& s) { return s.retiring == exit_cause::none && !s.replaces; }
bool on_trial(const slot_state& s) { return s.retiring == exit_cause::none && s.replaces; }
/// It serves, or has done what it was for.
bool has_arrived(const slot_state& s) { return s.now == phase::ready || s.now == phase::finished; }

event about(event_kind kind, const pool_state& p, const slot_state& s, std::uint64_t cause) {
  event e{kind};
  e.pool = p.name;
  e.slot_id = s.id;
  e.slot = s.number;
  e.generation = s.generation;
  e.pid = s.pid;
  e.child = s.child;
  e.cause = cause;
  return e;
}

event of_pool(event_kind kind, const pool_state& p, std::uint64_t cause) {
  event e{kind};
  e.pool = p.name;
  e.generation = p.generation;
  e.cause = cause;
  return e;
}

event retire(const pool_state& p, const slot_state& s, exit_cause why, std::uint64_t cause) {
  auto e = about(event_kind::slot_retiring, p, s, cause);
  e.why = why;
  return e;
}

std::optional<event> give_rollout_up(const pool_state& p) {
  auto& trouble = p.last_trouble;
  if (!p.rolling || !trouble.slot_id || trouble.generation != p.generation) return {};
  auto e = of_pool(event_kind::rollout_failed, p, trouble.event);
  e.text = trouble.text;
  return e;
}

/// Why a slot on trial is not to take the place it was made for; none: it still is.
exit_cause trial_is_moot(const pool_state& p, const slot_state& s) {
  if (p.wanted() == 0) return exit_cause::stopped;
  auto* old = p.find(s.replaces);
  if (!old || old->retiring != exit_cause::none) return exit_cause::scaled_down;
  bool same_program = s.generation == old->generation;
  bool still_meant = s.generation == p.generation || (same_program && !old->spent);
  return still_meant ? exit_cause::none : exit_cause::replaced;
}

std::optional<event> retire_one(const pool_state& p) {
  for (auto& s : p.slots) {
    auto why = on_trial(s) ? trial_is_moot(p, s) : exit_cause::none;
    if (why != exit_cause::none) return retire(p, s, why, p.last_command);
  }
  if (std::ranges::count_if(p.slots, stays) <= static_cast<std::ptrdiff_t>(p.wanted())) return {};
  auto oldest = std::ranges::find_if(p.slots, stays);
  auto why = p.stopping || p.drained ? exit_cause::stopped : exit_cause::scaled_down;
  return retire(p, *oldest, why, p.last_command);
}

std::optional<event> promote_one(const pool_state& p) {
  for (auto& s : p.slots) {
    if (!on_trial(s) || !has_arrived(s)) continue;
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
  if (std::ranges::count_if(p.slots, stays) >= static_cast<std::ptrdiff_t>(p.wanted())) return {};
  auto e = of_pool(event_kind::slot_added, p, p.last_command);
  e.slot_id = p.last_slot_id + 1;
  e.slot = lowest_free_number(p);
  if (p.rolling && !p.opened) e.generation = p.committed;
  return e;
}

/// One at a time: the next place is taken when the one before is filled.
std::optional<event> replace_one(const pool_state& p) {
  if (p.rolling && !p.opened) return {};
  if (std::ranges::any_of(p.slots, on_trial)) return {};
  for (auto& s : p.slots)
    if (stays(s) && s.generation != p.generation) return successor_of(p, s, p.generation);
  return {};
}

/// What is replaced in a rollout is no longer of interest; what leaves still counts.
std::optional<event> recycle_one(const pool_state& p) {
  if (p.rolling || p.wanted() == 0) return {};
  auto changes = [](auto& s) { return on_trial(s) || s.retiring == exit_cause::recycled; };
  auto under_way = std::ranges::count_if(p.slots, changes);
  for (auto& s : p.slots) {
    auto is_its_successor = [&](auto& other) { return on_trial(other) && other.replaces == s.id; };
    if (!stays(s) || under_way >= static_cast<std::ptrdiff_t>(s.at_once)) continue;
    if (std::ranges::any_of(p.slots, is_its_successor)) continue;
    auto e = successor_of(p, s, s.generation);
    e.cause = s.spent;
    return e;
  }
  return {};
}

std::optional<event> commit_rollout(const pool_state& p) {
  if (!p.rolling || !p.opened || p.drained || p.stopping) return {};
  auto done = [&](const slot_state& s) {
    return s.retiring != exit_cause::none ||
           (!s.replaces && s.generation == p.generation && has_arrived(s));
  };
  if (!std::ranges::all_of(p.slots, done)) return {};
  return of_pool(event_kind::rollout_committed, p, p.last_command);
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

std::optional<event> next_event(const pool_state& p) {
  if (p.stopped) return {};
  for (auto decide : {give_rollout_up, retire_one, promote_one, add_one, replace_one, recycle_one,
                      commit_rollout, escalate, finish})
    if (auto e = decide(p)) return e;
  return {};
}

std::optional<std::string> find_fault(unsigned target) {
  if (target <= most_workers) return {};
  return "a pool has at most " + std::to_string(most_workers) + " workers";
}

event successor_of(const pool_state& p, const slot_state& old, std::uint64_t generation) {
  auto e = of_pool(event_kind::slot_added, p, p.last_command);
  e.slot_id = p.last_slot_id + 1;
  e.slot = old.number;
  e.number = static_cast<std::int64_t>(old.id);
  e.generation = generation;
  return e;
}

bool settled(const pool_state& p) {
  if (p.stopped) return true;
  if (p.stopping) return false;
  if (p.drained) return p.slots.empty();
  auto rests = [&](const slot_state& s) {
    // A fresh worker that does not get ready goes on trying, beside the one that is to be recycled.
    if (on_trial(s)) return s.now == phase::backing_off;
    return stays(s) && s.generation == p.generation &&
           (s.now == phase::ready || s.now == phase::backing_off || s.rests());
  };
  return !p.rolling && std::ranges::count_if(p.slots, stays) == p.wanted() &&
         std::ranges::all_of(p.slots, rests);
}

unsigned count_ready(const pool_state& p) {
  return static_cast<unsigned>(std::ranges::count(p.slots, phase::ready, &slot_state::now));
}

std::set<std::uint64_t> needed_programs(const pool_state& p) {
  if (p.stopped) return {};
  std::set<std::uint64_t> needed{p.generation, p.committed};
  for (auto& s : p.slots) needed.insert(s.generation);
  return needed;
}

// A slot.

time_point ready_unasked(const spec& what, const slot_state& s) noexcept {
  bool by_age =
      what.ready == readiness::alive || (what.ready == readiness::automatic && !what.is_function());
  return by_age ? later(s.started_at, what.alive_for) : never;
}

bool heeds_ready(const spec& what) noexcept {
  return what.ready == readiness::automatic || what.ready == readiness::notify;
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

bool stays_after(const pool_state& p, const slot_state& s, unsigned failures) noexcept {
  if (s.retiring != exit_cause::none) return false;
  if (!s.replaces || failures == 0) return true;
  auto* old = p.find(s.replaces);
  bool restarting = old && old->generation == s.generation && !old->spent;
  return !restarting && !p.rolling;
}

}  // namespace supervisor
