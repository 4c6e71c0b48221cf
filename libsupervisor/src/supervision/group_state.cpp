#include "supervision/group_state.hpp"

#include <algorithm>

#include "host/span.hpp"
#include "supervision/state.hpp"

namespace supervisor {

namespace {

template <typename State>
auto* find_member(State& g, std::string_view name) noexcept {
  auto it = std::ranges::find(g.members, name, &member_state::name);
  return it == g.members.end() ? nullptr : &*it;
}

bool runs(const member_state& m) {
  return m.now == member_phase::starting || m.now == member_phase::up;
}

// What the events make of the state.

void add_member(group_state& g, const event& e) {
  member_state m;
  m.name = e.member;
  m.type = static_cast<restart_type>(e.count);
  m.significant = e.number != 0;
  m.kind = e.text;
  m.asked = m.added = g.now == group_phase::running;
  if (m.asked && g.failed_child == m.name) g.failed_child.clear();
  m.due = m.last_event = e.id;
  g.members.push_back(std::move(m));
}

/// Along with `because`, by the strategy: those that live are stopped first, and then all start
/// from left to right. One that somebody has stopped, or that had ended, starts again too.
void restart(group_state& g, const event& e) {
  auto& because = *g.find(e.member);
  g.window.push_back(because.ended_at);
  std::erase_if(g.window, [&](time_point t) { return because.ended_at - t > g.period; });
  because.troubled = because.failed_start = false;
  because.due = e.id;
  if (g.restarts == strategy::one_for_one) return;
  bool concerned = g.restarts == strategy::one_for_all;
  for (auto& m : g.members) {
    if (&m == &because) {
      concerned = true;
      continue;
    }
    if (!concerned) continue;
    m.troubled = m.failed_start = false;
    m.leaving = m.leaving || m.type == restart_type::temporary;
    m.wanted = !m.leaving;
    m.recycled = m.now != member_phase::down;
    m.due = e.id;
  }
}

void stop(group_state& g, const event& e) {
  g.now = group_phase::stopping;
  g.last = static_cast<ending>(e.count);
  g.by = static_cast<group_end>(e.number);
  g.why = e.text;
  for (auto& m : g.members) m.troubled = m.failed_start = false;
}

void hasten(group_state& g, const event& e) {
  g.quick = true;
  for (auto& m : g.members)
    if (m.deadline != never) m.deadline = std::min(m.deadline, later(e.at, quick_step));
}

void end(const group_state& g, member_state& m, const event& e) {
  bool told = m.now == member_phase::stopping || m.recycled || !m.wanted || g.ends();
  m.troubled = !told;
  m.failed_start = m.troubled && m.now == member_phase::starting;
  m.leaving = m.leaving || (told && m.type == restart_type::temporary);
  m.now = member_phase::down;
  m.deadline = never;
  m.recycled = false;
  m.last = static_cast<ending>(e.count);
  m.how = e.text;
  m.ended_at = e.at;
}

/// It is not started again.
void rest(group_state& g, member_state& m) {
  if (m.asked) {
    g.failed_child = m.name;
    g.failure = m.how;
  }
  m.leaving = m.type == restart_type::temporary || m.added;
  m.troubled = m.failed_start = m.asked = m.wanted = false;
}

void apply_to_member(group_state& g, member_state& m, const event& e) {
  m.last_event = e.id;
  switch (e.kind) {
    case event_kind::member_starting:
      m.now = member_phase::starting;
      ++m.starts;
      return;
    case event_kind::member_started:
      m.now = member_phase::up;
      m.asked = m.added = false;
      return;
    case event_kind::member_stopping:
      m.now = member_phase::stopping;
      m.deadline = e.deadline;
      return;
    case event_kind::member_ended:
      return end(g, m, e);
    case event_kind::member_rests:
      return rest(g, m);
    case event_kind::member_stop_asked:
      m.wanted = m.troubled = m.failed_start = m.asked = false;
      m.leaving = m.type == restart_type::temporary;
      return;
    case event_kind::member_start_asked:
      m.wanted = m.asked = true;
      m.due = e.id;
      if (g.failed_child == m.name) g.failed_child.clear();
      return;
    default:
      return;
  }
}

// What follows from the state.

event of_group(event_kind kind, const group_state& g, std::uint64_t cause) {
  event e{kind};
  e.group = g.name;
  e.cause = cause;
  return e;
}

event shut_down(const group_state& g, const member_state& m, ending how, group_end by,
                std::string why) {
  auto e = of_group(event_kind::group_stopping, g, m.last_event);
  e.count = static_cast<std::int64_t>(how);
  e.number = static_cast<std::int64_t>(by);
  e.text = std::move(why);
  return e;
}

/// OTP's restart types: a child that could not be started is tried again, unless it is temporary.
bool starts_again(const member_state& m) {
  if (m.type == restart_type::temporary) return false;
  return m.type == restart_type::permanent || m.failed_start || m.last == ending::abnormal;
}

/// Why the group shuts itself down once `m`, significant, is not started again.
bool shuts_down_with(const group_state& g, const member_state& m) {
  if (!m.significant || g.shutdown == auto_shutdown::never) return false;
  if (g.shutdown == auto_shutdown::any_significant) return true;
  return std::ranges::none_of(g.members, [&](const member_state& other) {
    return &other != &m && other.significant && (other.wanted || runs(other));
  });
}

/// A child has ended by itself.
std::optional<event> answer_trouble(const group_state& g) {
  auto troubled = std::ranges::find(g.members, true, &member_state::troubled);
  if (troubled == g.members.end() || g.ends()) return {};
  auto& m = *troubled;
  if (m.failed_start && g.now == group_phase::starting)
    return shut_down(g, m, ending::abnormal, group_end::failure,
                     "child " + m.name + " did not start: " + m.how);
  if (!starts_again(m) || m.asked) {
    if (!m.asked && shuts_down_with(g, m))
      return shut_down(g, m, ending::shutdown, group_end::significant,
                       "significant child " + m.name + " has ended: " + m.how);
    return about(event_kind::member_rests, g, m);
  }
  auto recent = [&](time_point t) { return m.ended_at - t <= g.period; };
  auto restarts = static_cast<unsigned>(std::ranges::count_if(g.window, recent)) + 1;
  if (restarts > g.most_restarts)
    return shut_down(g, m, ending::shutdown, group_end::failure,
                     "child " + m.name + " has ended: " + m.how + "; more than " +
                         std::to_string(g.most_restarts) + " restarts within " +
                         describe(g.period));
  auto e = about(event_kind::group_restarting, g, m);
  e.count = restarts;
  e.text = m.how;
  return e;
}

/// From right to left, one at a time.
std::optional<event> stop_one(const group_state& g) {
  if (std::ranges::find(g.members, member_phase::stopping, &member_state::now) != g.members.end())
    return {};
  for (auto it = g.members.rbegin(); it != g.members.rend(); ++it)
    if (runs(*it) && (g.ends() || it->recycled || !it->wanted))
      return about(event_kind::member_stopping, g, *it);
  return {};
}

bool stops_somebody(const group_state& g) {
  return std::ranges::any_of(g.members, [&](const member_state& m) {
    return m.now == member_phase::stopping || m.recycled || (runs(m) && !m.wanted);
  });
}

std::optional<event> remove_one(const group_state& g) {
  for (auto& m : g.members)
    if (m.leaving && m.now == member_phase::down) return about(event_kind::member_removed, g, m);
  return {};
}

/// From left to right, each when the one before has started; whoever waits for longest is first.
std::optional<event> start_one(const group_state& g) {
  if (g.ends() || stops_somebody(g)) return {};
  const member_state* next = nullptr;
  for (auto& m : g.members) {
    if (m.now == member_phase::starting) return {};
    bool owed = m.wanted && m.now == member_phase::down;
    if (owed && (!next || m.due < next->due)) next = &m;
  }
  if (!next) return {};
  return about(event_kind::member_starting, g, *next);
}

std::optional<event> finish(const group_state& g) {
  bool idle = std::ranges::none_of(
      g.members, [](const member_state& m) { return m.now != member_phase::down; });
  if (g.now == group_phase::stopping && idle)
    return of_group(event_kind::group_stopped, g, g.last_event);
  if (g.now == group_phase::starting && settled(g))
    return of_group(event_kind::group_started, g, g.last_event);
  return {};
}

}  // namespace

member_state* group_state::find(std::string_view member) noexcept {
  return find_member(*this, member);
}
const member_state* group_state::find(std::string_view member) const noexcept {
  return find_member(*this, member);
}

group_state begin_group(std::string name, const group_spec& what) {
  group_state g;
  g.name = std::move(name);
  g.restarts = what.restarts;
  g.most_restarts = what.most_restarts;
  g.period = what.period;
  g.shutdown = what.shutdown;
  g.starts = what.starts;
  return g;
}

void apply(group_state& g, const event& e) {
  g.last_event = e.id;
  switch (e.kind) {
    case event_kind::member_added:
      return add_member(g, e);
    case event_kind::member_removed:
      std::erase_if(g.members, [&](auto& m) { return m.name == e.member; });
      return;
    case event_kind::group_started:
      g.now = group_phase::running;
      return;
    case event_kind::group_restarting:
      return restart(g, e);
    case event_kind::group_stopping:
      return stop(g, e);
    case event_kind::group_hastened:
      return hasten(g, e);
    case event_kind::group_stopped:
      g.now = group_phase::stopped;
      return;
    case event_kind::group_released:
      g.now = group_phase::stopped;
      g.by = group_end::released;
      g.why = "released";
      return;
    default:
      if (auto* m = g.find(e.member)) apply_to_member(g, *m, e);
  }
}

event about(event_kind kind, const group_state& g, const member_state& m) {
  auto e = of_group(kind, g, m.last_event);
  e.member = m.name;
  return e;
}

std::optional<event> next_event(const group_state& g) {
  if (g.now == group_phase::stopped) return {};
  for (auto decide : {answer_trouble, stop_one, remove_one, start_one, finish})
    if (auto e = decide(g)) return e;
  return {};
}

bool settled(const group_state& g) noexcept {
  if (g.ends()) return g.now == group_phase::stopped;
  return std::ranges::all_of(g.members, [](const member_state& m) {
    bool there = m.wanted ? m.now == member_phase::up : m.now == member_phase::down;
    return there && !m.troubled && !m.recycled && !m.leaving;
  });
}

}  // namespace supervisor
