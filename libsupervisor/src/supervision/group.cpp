// What a group is made of, its handle, and what people see of it.
#include "supervisor/group.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "supervision/decide.hpp"
#include "supervision/group_keeper.hpp"

namespace asio = boost::asio;

namespace supervisor {

std::string_view to_string(strategy s) noexcept {
  switch (s) {
    case strategy::one_for_one:
      return "one_for_one";
    case strategy::one_for_all:
      return "one_for_all";
    case strategy::rest_for_one:
      return "rest_for_one";
  }
  return "unknown";
}

std::string_view to_string(ending e) noexcept {
  switch (e) {
    case ending::normal:
      return "normal";
    case ending::shutdown:
      return "shutdown";
    case ending::abnormal:
      return "abnormal";
  }
  return "unknown";
}

std::string_view to_string(child_spec::kind k) noexcept {
  switch (k) {
    case child_spec::kind::process:
      return "process";
    case child_spec::kind::pool:
      return "pool";
    case child_spec::kind::coroutine:
      return "coroutine";
    case child_spec::kind::group:
      return "group";
  }
  return "unknown";
}

child_spec child_spec::process(std::string name, spec what) {
  child_spec child(std::move(name), kind::process);
  child.program = std::make_shared<const spec>(std::move(what));
  return child;
}

child_spec child_spec::pool(std::string name, spec what, unsigned size) {
  child_spec child(std::move(name), kind::pool);
  child.program = std::make_shared<const spec>(std::move(what));
  child.size = size;
  return child;
}

child_spec child_spec::pool(::supervisor::pool there) {
  auto child = pool(there.name(), there.what(), there.size());
  child.is_there = true;
  return child;
}

child_spec child_spec::coroutine(std::string name, coroutine_function make) {
  child_spec child(std::move(name), kind::coroutine);
  child.make = std::move(make);
  return child;
}

child_spec child_spec::group(std::string name, group_spec what) {
  child_spec child(std::move(name), kind::group);
  child.children = std::make_shared<const group_spec>(std::move(what));
  return child;
}

namespace {

using fault = std::optional<std::string>;
using names = std::set<std::string, std::less<>>;

fault find_in_group(const group_spec&, names&);

fault find_in_child(const child_spec& child, auto_shutdown shutdown, names& taken) {
  if (child.name.empty()) return "a child without a name";
  if (!taken.insert(child.name).second) return fmt::format("two children are named {}", child.name);
  if (child.is_significant && child.type == restart_type::permanent)
    return fmt::format("child {} is significant, and permanent: it would never end for good",
                       child.name);
  if (child.is_significant && shutdown == auto_shutdown::never)
    return fmt::format("child {} is significant, but its group never shuts itself down",
                       child.name);
  fault its;
  if (child.program) its = find_fault(*child.program);
  if (!its && child.program) its = find_fault(child.size);
  if (!its && child.what == child_spec::kind::coroutine && !child.make) its = "no coroutine";
  if (!its && child.children) return find_in_group(*child.children, taken);
  if (its) return fmt::format("child {}: {}", child.name, *its);
  return {};
}

fault find_in_group(const group_spec& what, names& taken) {
  if (what.period <= duration{}) return "the intensity's period is not positive";
  for (auto& child : what.children)
    if (auto first = find_in_child(child, what.shutdown, taken)) return first;
  return {};
}

std::string name_of(group_phase now) {
  switch (now) {
    case group_phase::starting:
      return "starting";
    case group_phase::running:
      return "running";
    case group_phase::stopping:
      return "stopping";
    case group_phase::stopped:
      return "stopped";
  }
  return {};
}

std::string state_of(const group_state& g, const member_state& m) {
  switch (m.now) {
    case member_phase::down:
      return m.wanted && !g.ends() ? "waiting" : "stopped";
    case member_phase::starting:
      return "starting";
    case member_phase::up:
      return "running";
    case member_phase::stopping:
      return "stopping";
  }
  return {};
}

}  // namespace

std::optional<std::string> find_fault(const group_spec& what) {
  names taken;
  return find_in_group(what, taken);
}

group_status describe_group(const group_state& g) {
  group_status status;
  status.name = g.name;
  status.state = name_of(g.now);
  status.strategy = to_string(g.restarts);
  status.reason = g.why;
  for (auto& m : g.members) {
    child_status row;
    row.name = m.name;
    row.state = state_of(g, m);
    row.kind = m.kind;
    row.last_end = m.how;
    row.restarts = m.starts > 1 ? m.starts - 1 : 0;
    status.children.push_back(std::move(row));
  }
  return status;
}

group::group(std::shared_ptr<group_keeper> keeper) : keeper_(std::move(keeper)) {}

const std::string& group::name() const { return keeper_->state().name; }
group_status group::status() const { return keeper_->status(); }
asio::awaitable<outcome> group::settled() { return keeper_->settled(); }
asio::awaitable<outcome> group::ended() { return keeper_->ended(); }
asio::awaitable<outcome> group::stop() { return keeper_->stop(); }
asio::awaitable<outcome> group::start_child(child_spec child) {
  return keeper_->start_child(std::move(child));
}
asio::awaitable<outcome> group::stop_child(std::string child) {
  return keeper_->stop_child(std::move(child));
}
asio::awaitable<outcome> group::restart_child(std::string child) {
  return keeper_->restart_child(std::move(child));
}
outcome group::delete_child(std::string child) { return keeper_->delete_child(child); }
outcome group::release() { return keeper_->release(); }

}  // namespace supervisor
