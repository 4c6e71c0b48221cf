// What people see of a pool's state.
#include <algorithm>
#include <chrono>

#include "supervision/decide.hpp"
#include "supervision/rollout.hpp"

namespace supervisor {

namespace {

std::string seconds_until(time_point when, time_point now) {
  auto left = std::chrono::ceil<std::chrono::seconds>(std::max(when - now, duration{}));
  return std::to_string(left.count()) + " s";
}

std::string name_of(phase now) {
  switch (now) {
    case phase::waiting:
      return "waiting";
    case phase::backing_off:
      return "backing off";
    case phase::launching:
    case phase::starting:
      return "starting";
    case phase::ready:
      return "ready";
    case phase::finished:
      return "finished";
    case phase::given_up:
      return "given up";
    case phase::stopping:
    case phase::gone:
      return "stopping";
  }
  return {};
}

std::string detail_of(const pool_state& p, const slot_state& s, time_point now) {
  switch (s.now) {
    case phase::waiting:
      return p.held.empty() ? "" : "for " + p.held;
    case phase::backing_off: {
      auto how = s.last_failure.empty() ? s.last_exit.str() : s.last_failure;
      auto what = s.half_open ? "next trial in " : "next start in ";
      return what + seconds_until(s.deadline, now) + ", " + how;
    }
    case phase::finished:
      return describe_exit(s);
    case phase::given_up:
      return describe_surrender(s);
    case phase::stopping: {
      auto why = std::string(to_string(s.stopped_for));
      if (s.deadline == never) return why + ", killed";
      return why + ", next step in " + seconds_until(s.deadline, now);
    }
    default:
      return s.status;
  }
}

slot_status describe_slot(const pool_state& p, const slot_state& s, time_point now) {
  slot_status row;
  row.slot = s.number;
  row.pid = s.pid;
  row.state = name_of(s.now);
  row.detail = detail_of(p, s, now);
  row.generation = s.generation;
  row.restarts = s.restarts;
  if (s.pid) row.uptime = now - s.started_at;
  row.last_exit = describe_exit(s);
  row.ready = s.now == phase::ready;
  row.reloading = s.reloading && row.ready;
  return row;
}

/// Of the rollout under way, or of the way back.
std::optional<rollout_status> describe_rollout(const pool_state& p, time_point now) {
  auto stage = stage_of(p);
  if (stage == rollout_stage::none) return {};
  rollout_status r;
  r.stage = to_string(stage);
  r.generation = p.history.back().generation;
  r.committed = p.committed;
  for (auto& s : p.slots) r.replaced += s.stays() && s.generation == p.generation;
  r.wanted = p.wanted();
  r.paused = p.roll.paused;
  if (p.roll.bake) r.bake_left = std::max(p.roll.bake_until - now, duration{});
  r.plan = p.roll.plan;
  return r;
}

}  // namespace

std::string describe_program(const spec& what) {
  if (what.is_function()) return "function " + what.function;
  auto text = "command " + what.program;
  for (auto& argument : what.arguments) text += " " + argument;
  return text;
}

pool_status describe_pool(const pool_state& p, time_point now, const sampler& sample) {
  pool_status status;
  status.name = p.name;
  status.target = p.target;
  status.ready = count_ready(p);
  status.finished =
      static_cast<unsigned>(std::ranges::count(p.slots, phase::finished, &slot_state::now));
  status.generation = p.generation;
  status.rolling = p.rolling;
  status.drained = p.drained;
  status.rollout = describe_rollout(p, now);
  status.history.assign(p.history.begin(), p.history.end());
  status.kept.assign(p.kept.begin(), p.kept.end());
  for (auto& s : p.slots) {
    status.slots.push_back(describe_slot(p, s, now));
    if (s.pid) status.slots.back().work = sample(s.child);
  }
  return status;
}

}  // namespace supervisor
