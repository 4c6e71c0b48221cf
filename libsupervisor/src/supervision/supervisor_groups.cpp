// The groups of a supervisor.
#include <algorithm>
#include <boost/system/system_error.hpp>
#include <stdexcept>

#include "supervision/decide.hpp"
#include "supervision/supervisor_impl.hpp"
#include "supervisor/errc.hpp"

namespace supervisor {

/// What this host cannot run, and names that are taken.
void supervisor::impl::refuse_faults(const group_spec& what) const {
  for (auto& child : what.children) {
    auto* other = child.is_there ? group_of(child.name) : nullptr;
    if (other)
      throw std::invalid_argument("pool " + child.name + " is in group " + other->state().name);
    if (!child.is_there && is_taken(child.name))
      throw std::invalid_argument("the name " + child.name + " is taken");
    if (child.children) refuse_faults(*child.children);
    auto fault = child.program ? find_fault(*child.program, outside) : std::nullopt;
    if (fault) throw std::invalid_argument("child " + child.name + ": " + *fault);
  }
}

bool supervisor::impl::is_taken(std::string_view wanted) const {
  for (auto& g : groups)
    if (g->state().name == wanted && g->state().now != group_phase::stopped) return true;
  auto pool = find(wanted);
  return pool && !pool->state().stopped && !adopted.contains(std::string(wanted));
}

const group_keeper* supervisor::impl::group_of(std::string_view pool) const {
  auto has = [&](auto& g) {
    return g->state().now != group_phase::stopped && g->state().find(pool);
  };
  auto known = std::ranges::find_if(groups, has);
  return known == groups.end() ? nullptr : known->get();
}

std::shared_ptr<group_keeper> supervisor::impl::open_group(std::string group, group_spec what) {
  if (stopping)
    throw boost::system::system_error(make_error_code(errc::pool_closed), "group " + group);
  if (auto fault = find_fault(what)) throw std::invalid_argument("group " + group + ": " + *fault);
  auto self = std::make_shared<std::weak_ptr<group_keeper>>();
  auto opened = open_tree(group, what, [weak = weak_from_this(), self] {
    if (auto alive = weak.lock()) alive->ended(*self);
  });
  *self = opened;
  std::erase_if(trees, [](auto& tree) { return tree.expired(); });
  trees.push_back(opened);
  ended(opened);
  return opened;
}

/// One that was stopped by a command has given its name back.
std::shared_ptr<group_keeper> supervisor::impl::open_tree(const std::string& group,
                                                          const group_spec& what,
                                                          std::function<void()> told) {
  auto known = written.find(group);
  bool over = known != written.end() && known->second.now == group_phase::stopped &&
              known->second.by == group_end::command;
  if (over) written.erase(known);
  if (auto resumed = resume_group(group, what, told)) return resumed;
  if (is_taken(group)) throw std::invalid_argument("the name " + group + " is taken");
  refuse_faults(what);
  auto made = add_group(begin_group(group, what), what.children, std::move(told));
  made->start();
  return made;
}

std::shared_ptr<group_keeper> supervisor::impl::resume_group(const std::string& group,
                                                             const group_spec& what,
                                                             std::function<void()> told) {
  auto known = written.extract(group);
  if (!known) return nullptr;
  auto made = add_group(std::move(known.mapped()), what.children, std::move(told));
  made->resume();
  return made;
}

std::shared_ptr<group_keeper> supervisor::impl::add_group(group_state state,
                                                          std::vector<child_spec> children,
                                                          std::function<void()> told) {
  std::erase_if(groups, [&](auto& g) {
    // What has not come to its end is not destroyed under way: that is one that was released.
    return g->state().name == state.name && g->state().now == group_phase::stopped && !g->running();
  });
  return groups.emplace_back(std::make_shared<group_keeper>(world_of_groups(), std::move(state),
                                                            std::move(children), std::move(told)));
}

/// A tree that has ended by itself is the end of the policy.
void supervisor::impl::ended(std::weak_ptr<group_keeper> tree) {
  auto g = tree.lock();
  if (!g || g->state().now != group_phase::stopped) return;
  auto by = g->state().by;
  if (by == group_end::command || by == group_end::released) return;
  if (!stopping) request_stop(false);
}

group_world supervisor::impl::world_of_groups() {
  group_world world{outside, log, keeping, {}, {}, {}, {}};
  world.find_pool = [this](const std::string& pool) {
    adopted.erase(pool);
    return find(pool);
  };
  world.open_pool = [this](const std::string& pool, spec what, unsigned size) {
    open(pool, std::move(what), size);
    return find(pool);
  };
  world.open_group = [this](const std::string& group, const group_spec& what,
                            std::function<void()> told) {
    auto made = add_group(begin_group(group, what), what.children, std::move(told));
    made->start();
    return made;
  };
  world.resume_group = [this](const std::string& group, const group_spec& what,
                              std::function<void()> told) {
    return resume_group(group, what, std::move(told));
  };
  return world;
}

}  // namespace supervisor
