// The groups of a supervisor.
#include <boost/system/system_error.hpp>
#include <stdexcept>

#include "supervision/decide.hpp"
#include "supervision/supervisor_impl.hpp"
#include "supervisor/errc.hpp"

namespace supervisor {

namespace {

/// What this host cannot run, and names that are taken.
template <typename Taken>
void refuse_faults(const group_spec& what, const host& outside, const Taken& taken) {
  for (auto& child : what.children) {
    if (taken(child.name)) throw std::invalid_argument("the name " + child.name + " is taken");
    if (child.children) refuse_faults(*child.children, outside, taken);
    auto fault = child.program ? find_fault(*child.program, outside) : std::nullopt;
    if (fault) throw std::invalid_argument("child " + child.name + ": " + *fault);
  }
}

}  // namespace

bool supervisor::impl::is_taken(std::string_view wanted) const {
  for (auto& g : groups)
    if (g->state().name == wanted && g->state().now != group_phase::stopped) return true;
  auto pool = find(wanted);
  return pool && !pool->state().stopped;
}

std::shared_ptr<group_keeper> supervisor::impl::open_group(std::string group, group_spec what) {
  if (stopping)
    throw boost::system::system_error(make_error_code(errc::pool_closed), "group " + group);
  if (auto fault = find_fault(what)) throw std::invalid_argument("group " + group + ": " + *fault);
  auto taken = [this](const std::string& child) { return is_taken(child); };
  if (taken(group)) throw std::invalid_argument("the name " + group + " is taken");
  refuse_faults(what, outside, taken);
  auto self = std::make_shared<std::weak_ptr<group_keeper>>();
  auto opened = add_group(std::move(group), std::move(what), [weak = weak_from_this(), self] {
    if (auto alive = weak.lock()) alive->ended(*self);
  });
  *self = opened;
  std::erase_if(trees, [](auto& tree) { return tree.expired(); });
  trees.push_back(opened);
  return opened;
}

std::shared_ptr<group_keeper> supervisor::impl::add_group(std::string group, group_spec what,
                                                          std::function<void()> told) {
  std::erase_if(groups, [&](auto& g) {
    return g->state().name == group && g->state().now == group_phase::stopped;
  });
  auto made = std::make_shared<group_keeper>(world_of_groups(), std::move(group), std::move(what),
                                             std::move(told));
  groups.push_back(made);
  made->start();
  return made;
}

/// A tree that has ended by itself is the end of the policy.
void supervisor::impl::ended(std::weak_ptr<group_keeper> tree) {
  auto g = tree.lock();
  if (!g || g->state().now != group_phase::stopped || g->state().by == group_end::command) return;
  if (!stopping) request_stop(false);
}

group_world supervisor::impl::world_of_groups() {
  group_world world{outside, log, keeping, {}, {}, {}};
  world.find_pool = [this](const std::string& pool) { return find(pool); };
  world.open_pool = [this](const std::string& pool, spec what, unsigned size) {
    open(pool, std::move(what), size);
    return find(pool);
  };
  world.open_group = [this](const std::string& group, const group_spec& what,
                            std::function<void()> told) {
    return add_group(group, what, std::move(told));
  };
  return world;
}

}  // namespace supervisor
