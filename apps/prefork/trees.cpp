#include "trees.hpp"

#include <algorithm>
#include <boost/system/system_error.hpp>
#include <optional>
#include <set>

#include "supervisor/condition.hpp"

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

}  // namespace

struct trees::progress {
  explicit progress(const sup::supervisor& self) : moved(self.executor()) {}
  unsigned changes = 0;
  sup::condition moved;  ///< a pool was opened, or the trees were changed
};

/// Each is opened when those before it have started: where one does not, nobody waits for the rest.
asio::awaitable<sup::outcome> trees::settle(const sup::supervisor& self,
                                            std::vector<std::string> fresh,
                                            std::shared_ptr<progress> now) {
  sup::outcome all;
  auto mine = now->changes;
  for (auto& name : fresh) {
    auto pool = find_running(self, name);
    while (!pool && now->changes == mine) {
      co_await now->moved.wait();
      pool = find_running(self, name);
    }
    if (!pool) break;  // it was to be opened by a tree that is no more
    auto settling = pool->settled();
    all = co_await std::move(settling);
    if (all.ok) continue;
    all.reason = name + ": " + (all.reason.empty() ? all.error.message() : all.reason);
    break;
  }
  co_return all;
}

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
  if (!progress_) progress_ = std::make_shared<progress>(self);
  release(wanted);
  running_ = wanted.groups;
  ++progress_->changes;
  progress_->moved.notify();
  std::vector<beginning> begun;
  for (auto* root : roots_of(running_)) {
    if (roots_.contains(root->name)) continue;
    std::vector<std::string> fresh;
    auto child_of = [&](const std::string& name) {
      auto& pool = *std::ranges::find(wanted.pools, name, &named_pool::name);
      auto on_open = [pool, told, now = progress_](sup::pool open) {
        told(pool, std::move(open));
        now->moved.notify();
      };
      if (auto there = find_running(self, name))
        return sup::child_spec::pool(*there).opened(on_open);
      fresh.push_back(name);
      return sup::child_spec::pool(name, pool.said.what, pool.size).opened(on_open);
    };
    auto made = self.group(root->name, spec_of(*root, running_, child_of));
    roots_.emplace(root->name, made);
    if (!fresh.empty()) begun.emplace_back(root->name, settle(self, std::move(fresh), progress_));
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
