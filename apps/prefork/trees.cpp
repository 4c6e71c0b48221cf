#include "trees.hpp"

#include <algorithm>
#include <boost/system/system_error.hpp>
#include <optional>
#include <set>

namespace asio = boost::asio;
namespace sup = supervisor;

namespace app {

namespace {

std::optional<sup::pool> find_running(const sup::supervisor& self, const std::string& name) {
  for (auto& pool : self.pools())
    if (pool.name() == name) return pool;
  return {};
}

std::set<std::string> roots_wanted(const std::vector<named_group>& all) {
  std::set<std::string> names;
  for (auto* root : roots_of(all)) names.insert(root->name);
  return names;
}

/// Each is opened when those before it have started: where one does not, nobody waits for the rest.
asio::awaitable<sup::outcome> settle(const sup::supervisor& self, std::vector<std::string> fresh,
                                     std::shared_ptr<sup::condition> opened) {
  sup::outcome all;
  for (auto& name : fresh) {
    auto pool = find_running(self, name);
    while (!pool) {
      co_await opened->wait();
      pool = find_running(self, name);
    }
    auto settling = pool->settled();
    all = co_await std::move(settling);
    if (all.ok) continue;
    all.reason = name + ": " + (all.reason.empty() ? all.error.message() : all.reason);
    break;
  }
  co_return all;
}

}  // namespace

void trees::release(const configuration& wanted) {
  auto roots = roots_wanted(wanted.groups);
  for (auto it = roots_.begin(); it != roots_.end();) {
    if (roots.contains(it->first) && same_tree(it->first, running_, wanted.groups)) {
      ++it;
      continue;
    }
    auto released = it->second.release();
    if (!released.ok) throw boost::system::system_error(released.error, released.reason);
    it = roots_.erase(it);
  }
}

std::vector<trees::beginning> trees::change(sup::supervisor& self, const configuration& wanted,
                                            const opened& told) {
  release(wanted);
  running_ = wanted.groups;
  std::vector<beginning> begun;
  for (auto* root : roots_of(running_)) {
    if (roots_.contains(root->name)) continue;
    std::vector<std::string> fresh;
    auto changed = std::make_shared<sup::condition>(self.executor());
    auto child_of = [&](const std::string& name) {
      if (auto there = find_running(self, name)) return sup::child_spec::pool(*there);
      fresh.push_back(name);
      auto& pool = *std::ranges::find(wanted.pools, name, &named_pool::name);
      auto on_open = [pool, told, changed](sup::pool open) {
        told(pool, std::move(open));
        changed->notify();
      };
      return sup::child_spec::pool(name, pool.said.what, pool.size).opened(on_open);
    };
    auto made = self.group(root->name, spec_of(*root, running_, child_of));
    roots_.emplace(root->name, made);
    if (!fresh.empty()) begun.emplace_back(root->name, settle(self, std::move(fresh), changed));
  }
  return begun;
}

asio::awaitable<bool> trees::end_well() {
  bool well = true;
  for (auto& [name, group] : roots_) {
    auto ending = group.ended();
    auto ended = co_await std::move(ending);
    well = well && ended.ok;
  }
  co_return well;
}

}  // namespace app
