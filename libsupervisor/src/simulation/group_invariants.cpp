#include "simulation/group_invariants.hpp"

#include <algorithm>
#include <utility>

namespace supervisor {

namespace {

strategy strategy_of(std::string_view name) {
  for (auto s : {strategy::one_for_all, strategy::rest_for_one})
    if (to_string(s) == name) return s;
  return strategy::one_for_one;
}

}  // namespace

// Each event.

void group_invariants::take_in(const event& e) {
  if (e.kind == event_kind::worker_launched && !groups_.empty()) return launched(e);
  if (e.group.empty()) return;
  auto& g = groups_[e.group];
  auto known = std::ranges::find(g.children, e.member, &child::name);
  if (e.kind == event_kind::member_added) {
    child added;
    added.name = e.member;
    added.kind = e.text;
    added.temporary = static_cast<restart_type>(e.count) == restart_type::temporary;
    added.due = e.id;
    g.children.push_back(std::move(added));
  } else if (e.member.empty()) {
    take_in_group(e.group, g, e);
  } else if (known == g.children.end()) {
    fail_(e.group + '/' + e.member + ": it is no child of that group");
  } else if (e.kind == event_kind::member_removed) {
    if (known->now != stage::down)
      fail_(e.group + '/' + e.member + ": it is forgotten while it runs");
    g.children.erase(known);
  } else {
    take_in_child(e.group, g, *known, e);
  }
}

void group_invariants::take_in_group(const std::string& name, group& g, const event& e) {
  switch (e.kind) {
    case event_kind::group_opened:
      g = {};
      g.restarts = strategy_of(e.text);
      return;
    case event_kind::group_started:
      for (auto& c : g.children)
        if (c.now == stage::starting || c.due)
          fail_(name + '/' + c.name + ": its group says that it has started, and it has not");
      return;
    case event_kind::group_stopping:
      g.stopping = true;
      for (auto& c : g.children) c.due = 0, c.unanswered = false;
      return;
    case event_kind::group_stopped:
      g.over = true;
      return stopped(name, g);
    case event_kind::group_released:
      g = {};
      g.over = true;
      return;
    default:
      return;
  }
}

void group_invariants::take_in_child(const std::string& name, group& g, child& c, const event& e) {
  switch (e.kind) {
    case event_kind::group_restarting:
      return restart(name, g, c, e);
    case event_kind::member_starting:
      starts(name, g, c);
      c.now = stage::starting;
      c.due = 0;
      c.given_up = false;
      return;
    case event_kind::member_started:
      c.now = stage::up;
      return;
    case event_kind::member_stopping:
      stops(name, g, c);
      c.now = stage::stopping;
      return;
    case event_kind::member_ended:
      return ends(name, g, c, e);
    case event_kind::member_rests:
      c.due = 0;
      c.unanswered = false;
      return;
    case event_kind::member_stop_asked:
      c.due = 0;
      c.unanswered = false;
      c.unwanted = true;
      return;
    case event_kind::member_start_asked:
      c.due = e.id;
      c.unwanted = false;
      return;
    default:
      return;
  }
}

/// Whom the strategy takes along: those that are not started again leave all the same.
void group_invariants::restart(const std::string& name, group& g, child& because, const event& e) {
  if (because.temporary) fail_(name + '/' + because.name + ": it is temporary, and is restarted");
  if (because.now != stage::down)
    fail_(name + '/' + because.name + ": it is restarted while it runs");
  because.unanswered = false;
  because.due = e.id;
  if (g.restarts == strategy::one_for_one) return;
  bool concerned = g.restarts == strategy::one_for_all;
  for (auto& c : g.children) {
    bool is_cause = &c == &because;
    if (concerned && !is_cause) {
      c.has_to_leave = c.now != stage::down;
      c.unanswered = c.unwanted = false;
      c.due = c.temporary ? 0 : e.id;
    }
    concerned |= is_cause;
  }
}

void group_invariants::starts(const std::string& name, const group& g, const child& c) {
  auto who = name + '/' + c.name;
  if (g.stopping) fail_(who + ": it is started while its group stops");
  if (c.now != stage::down) fail_(who + ": it is started while it runs");
  if (!c.due) fail_(who + ": it is started, and no restart and no command says so");
  for (auto& other : g.children) {
    if (other.now == stage::starting)
      fail_(who + ": it is started before " + other.name + " has started");
    if (other.now == stage::stopping || other.has_to_leave)
      fail_(who + ": it is started before " + other.name + " has left");
    bool left_of_it = &other < &c;
    bool first = other.due && (other.due < c.due || (other.due == c.due && left_of_it));
    if (&other != &c && first)
      fail_(who + ": it is started before " + other.name + ", whose turn comes first");
  }
}

void group_invariants::stops(const std::string& name, const group& g, const child& c) {
  auto who = name + '/' + c.name;
  auto leaves = [&](const child& any) { return g.stopping || any.has_to_leave || any.unwanted; };
  if (c.now == stage::down) fail_(who + ": it is stopped, and does not run");
  if (!leaves(c)) fail_(who + ": it is stopped, and no restart, no command and no end says so");
  for (auto& other : g.children) {
    if (&other == &c || other.now == stage::down) continue;
    if (other.now == stage::stopping)
      fail_(who + ": it is stopped before " + other.name + " has left");
    else if (&other > &c && leaves(other))
      fail_(who + ": it is stopped before " + other.name + ", which stands to its right");
  }
}

void group_invariants::ends(const std::string& name, const group& g, child& c, const event& e) {
  auto within = groups_.find(c.name);
  if (c.kind == to_string(child_spec::kind::group) && within != groups_.end() &&
      !within->second.over)
    fail_(name + '/' + c.name + ": it has ended, and what is in it has not");
  bool told = c.now == stage::stopping || c.has_to_leave || c.unwanted || g.stopping;
  c.unanswered = !told;
  c.now = stage::down;
  c.has_to_leave = false;
  c.given_up = e.number == 1;
}

void group_invariants::stopped(const std::string& name, const group& g) {
  for (auto& c : g.children)
    if (c.now != stage::down) fail_(name + '/' + c.name + ": it outlives its group");
}

/// A pool that has failed as a child may go on with what its owner does to it.
void group_invariants::launched(const event& e) {
  for (auto& [name, g] : groups_) {
    if (g.over) continue;
    auto c = std::ranges::find(g.children, e.pool, &child::name);
    bool waits = c != g.children.end() && c->now == stage::down && c->due;
    if (waits) fail_(name + '/' + c->name + ": it has a worker before its turn has come");
  }
}

// Before time passes.

void group_invariants::at_rest(const std::function<bool(const std::string&)>& is_kept,
                               const std::function<bool(const std::string&)>& is_busy) {
  for (auto& [name, g] : groups_) {
    for (auto& c : g.children) {
      bool gone = c.kind == to_string(child_spec::kind::coroutine) && c.now == stage::down;
      if (gone && !c.given_up && is_busy("child " + c.name))
        fail_(name + '/' + c.name + ": its coroutine runs on, and it has ended");
    }
    if (!g.over && is_kept(name)) rest_of(name, g);
  }
}

void group_invariants::rest_of(const std::string& name, const group& g) {
  bool moves = std::ranges::any_of(g.children, [](const child& c) {
    return c.now == stage::starting || c.now == stage::stopping;
  });
  for (auto& c : g.children) {
    auto who = name + '/' + c.name;
    if (c.unanswered) fail_(who + ": it has ended by itself, and nothing follows");
    if (moves) continue;
    if (c.now == stage::up && (g.stopping || c.has_to_leave || c.unwanted))
      fail_(who + ": it is to leave, and is not told to");
  }
  if (moves) return;
  auto waits = std::ranges::find_if(g.children, [](const child& c) { return c.due != 0; });
  if (waits != g.children.end())
    fail_(name + '/' + waits->name + ": it is to be started, and is not");
}

void group_invariants::at_end(const std::function<bool(const std::string&)>& is_kept) {
  for (auto& [name, g] : groups_)
    if (!g.over && is_kept(name)) fail_(name + ": it is not stopped");
}

}  // namespace supervisor
