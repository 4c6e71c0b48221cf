#include "plan.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace app {

namespace {

namespace sup = supervisor;
using kind = pool_change::kind;
using move = listener_change::kind;

const sup::listener_spec* find(const std::vector<sup::listener_spec>& all,
                               const std::string& name) {
  auto it = std::ranges::find(all, name, &sup::listener_spec::name);
  return it == all.end() ? nullptr : &*it;
}

const named_pool* find(const std::vector<named_pool>& all, const std::string& name) {
  auto it = std::ranges::find(all, name, &named_pool::name);
  return it == all.end() ? nullptr : &*it;
}

std::vector<std::string> differing(const run_request& a, const run_request& b,
                                   setting::subject of) {
  std::vector<std::string> names;
  for (auto& s : settings())
    if (s.of == of && !s.same(a, b)) names.emplace_back(s.name);
  return names;
}

std::vector<listener_change> plan_listeners(const std::vector<sup::listener_spec>& running,
                                            const std::vector<sup::listener_spec>& wanted) {
  std::vector<listener_change> changes;
  for (auto& listener : wanted) {
    auto* open = find(running, listener.name);
    if (!open)
      changes.emplace_back(move::opened, listener);
    else if (!listener.matches(*open) || listener.sharded != open->sharded)
      changes.emplace_back(move::moved, listener, open->address());
  }
  for (auto& listener : running)
    if (!find(wanted, listener.name)) changes.emplace_back(move::closed, listener);
  return changes;
}

std::string program_of(const sup::spec& what) {
  if (what.is_function()) return "the demo";
  auto text = what.program;
  for (auto& argument : what.arguments) text += " " + argument;
  return text;
}

/// "spare:2-4, at most 8"
std::string by_load(const run_request& said) {
  if (said.scale == "static") return {};
  return fmt::format("{}, at most {}", said.scale, said.prefork.workers);
}

pool_change add(const named_pool& pool) {
  pool_change change(pool.name, kind::added);
  change.to = pool.size;
  change.by_load = by_load(pool.said);
  change.rescaled = !change.by_load.empty();
  change.program = program_of(pool.said.what);
  return change;
}

bool uses(const named_pool& pool, const std::string& listener) {
  auto& names = pool.said.what.listeners;
  return names && std::ranges::count(*names, listener);
}

/// All that its workers are made of. What a pool needs says only when they are started.
bool made_alike(const run_request& now, const run_request& wanted) {
  auto what = now.what;
  what.needs = wanted.what.needs;
  return what == wanted.what;
}

pool_change alter(const named_pool& now, const named_pool& wanted,
                  const std::vector<listener_change>& listeners) {
  pool_change change(wanted.name, kind::changed);
  change.by_load = by_load(wanted.said);
  change.rescaled = change.by_load != by_load(now.said);
  change.from = now.size;
  change.to = change.by_load.empty() ? wanted.size : now.size;
  change.resumed = now.drained;
  change.differing = differing(now.said, wanted.said, setting::subject::pool);
  change.rollouts = differing(now.said, wanted.said, setting::subject::rollout);
  for (auto& listener : listeners) {
    if (listener.what == move::moved && uses(wanted, listener.listener.name))
      change.differing.push_back("listener " + listener.listener.name);
    if (listener.what != move::opened && uses(now, listener.listener.name))
      change.leaves_address = true;
  }
  change.rolls = !change.differing.empty() || !made_alike(now.said, wanted.said);
  if (now.said.what.needs != wanted.said.what.needs) change.needs = wanted.said.what.needs;
  if (!change.rolls && !change.needs && !change.resumed && change.from == change.to &&
      !change.rescaled && change.rollouts.empty())
    change.what = kind::unchanged;
  return change;
}

std::string describe(const listener_change& change) {
  auto& listener = change.listener;
  switch (change.what) {
    case move::opened:
      return fmt::format("+ listener {}: {}", listener.name, listener.address());
    case move::moved:
      return fmt::format("~ listener {}: moves from {} to {}", listener.name, change.from,
                         listener.address());
    case move::closed:
      break;
  }
  return fmt::format("- listener {}: {}", listener.name, listener.address());
}

std::vector<group_change> plan_groups(const std::vector<named_group>& running,
                                      const std::vector<named_group>& wanted) {
  std::vector<group_change> changes;
  for (auto& group : wanted) {
    auto* now = find_group(running, group.name);
    if (now && *now == group) continue;
    auto& change = changes.emplace_back(
        group.name, now ? group_change::kind::changed : group_change::kind::added);
    change.about = fmt::format("{} of {}", group.strategy, fmt::join(group.members, ", "));
    for (auto& key : group_keys())
      if (now && !key.same(*now, group)) change.differing.emplace_back(key.name);
  }
  for (auto& group : running)
    if (!find_group(wanted, group.name))
      changes.emplace_back(group.name, group_change::kind::removed);
  return changes;
}

std::string describe(const group_change& change) {
  switch (change.what) {
    case group_change::kind::added:
      return fmt::format("+ group {}: {}", change.name, change.about);
    case group_change::kind::removed:
      return fmt::format("- group {}: what stays of it goes on without", change.name);
    case group_change::kind::changed:
      break;
  }
  return fmt::format("~ group {}: goes on otherwise ({})", change.name,
                     fmt::join(change.differing, ", "));
}

std::string count_of(std::size_t n, const char* what) {
  return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
}

std::string describe(const std::vector<sup::requirement>& needs) {
  if (needs.empty()) return "needs no other pool any more";
  std::vector<std::string> words;
  for (auto& each : needs) words.push_back(each.pool + ':' + std::string(to_string(each.what)));
  return fmt::format("needs {} from now on", fmt::join(words, ", "));
}

std::string describe(const pool_change& change) {
  if (change.what == kind::added)
    return fmt::format("+ pool {}: {} of {}{}", change.name, count_of(change.to, "worker"),
                       change.program,
                       change.rescaled ? fmt::format(", then by load ({})", change.by_load) : "");
  if (change.what == kind::removed)
    return fmt::format("- pool {}: {} leave", change.name, count_of(change.from, "worker"));
  std::vector<std::string> words;
  if (change.resumed) words.emplace_back("comes back from its drain");
  if (change.rescaled)
    words.push_back(change.by_load.empty()
                        ? "follows its load no more"
                        : fmt::format("follows its load from now on ({})", change.by_load));
  if (change.from != change.to)
    words.push_back(fmt::format("scales {} -> {}", change.from, change.to));
  if (change.needs) words.push_back(describe(*change.needs));
  if (!change.rollouts.empty())
    words.push_back(
        fmt::format("rolls otherwise from now on ({})", fmt::join(change.rollouts, ", ")));
  if (change.rolls)
    words.push_back(change.differing.empty()
                        ? "rolls"
                        : fmt::format("rolls ({})", fmt::join(change.differing, ", ")));
  return fmt::format("~ pool {}: {}", change.name, fmt::join(words, ", "));
}

}  // namespace

bool plan::empty() const {
  return listeners.empty() && groups.empty() &&
         std::ranges::all_of(pools, [](auto& p) { return p.what == pool_change::kind::unchanged; });
}

plan make_plan(const configuration& running, const configuration& wanted) {
  plan made;
  made.listeners =
      plan_listeners(running.master.prefork.listeners, wanted.master.prefork.listeners);
  made.groups = plan_groups(running.groups, wanted.groups);
  for (auto& pool : wanted.pools) {
    auto* now = find(running.pools, pool.name);
    made.pools.push_back(now ? alter(*now, pool, made.listeners) : add(pool));
  }
  for (auto& pool : running.pools) {
    if (find(wanted.pools, pool.name)) continue;
    auto& change = made.pools.emplace_back(pool.name, kind::removed);
    change.from = pool.size;
  }
  made.later = differing(running.master, wanted.master, setting::subject::master);
  return made;
}

plan without_changes(plan made) {
  std::erase_if(made.listeners,
                [](auto& each) { return each.what != listener_change::kind::opened; });
  std::erase_if(made.pools, [](auto& each) { return each.what == kind::removed; });
  made.later.clear();
  for (auto& pool : made.pools) {
    if (pool.what != kind::changed) continue;
    pool.to = pool.from;
    pool.resumed = pool.rolls = pool.leaves_address = false;
    pool.differing.clear();
    pool.needs.reset();
  }
  return made;
}

std::vector<std::string> describe(const plan& made) {
  std::vector<std::string> lines;
  for (auto& change : made.listeners) lines.push_back(describe(change));
  for (auto& change : made.groups) lines.push_back(describe(change));
  for (auto& change : made.pools)
    if (change.what != kind::unchanged) lines.push_back(describe(change));
  if (!made.later.empty())
    lines.push_back(
        fmt::format("! master: {} when it is started again", fmt::join(made.later, ", ")));
  return lines;
}

std::string render(const plan& made) {
  std::string text;
  for (auto& line : describe(made)) text += line + '\n';
  auto unchanged = std::ranges::count(made.pools, kind::unchanged, &pool_change::what);
  if (unchanged)
    text += fmt::format("  {} unchanged\n", count_of(static_cast<std::size_t>(unchanged), "pool"));
  return text;
}

}  // namespace app
