#include "supervision/group_keeper.hpp"

#include <algorithm>
#include <utility>

#include "host/interruptible.hpp"
#include "host/span.hpp"
#include "supervisor/errc.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

outcome failure(errc why, std::string reason) {
  outcome o;
  o.ok = false;
  o.error = why;
  o.reason = std::move(reason);
  return o;
}

asio::awaitable<outcome> answer(outcome o) { co_return o; }

asio::awaitable<void> keep(std::weak_ptr<group_keeper> group,
                           asio::awaitable<void> (group_keeper::*run)()) {
  auto* alive = group.lock().get();
  if (!alive) co_return;
  auto running = (alive->*run)();
  co_await std::move(running);
}

}  // namespace

group_keeper::group_keeper(const group_world& world, group_state state,
                           std::vector<child_spec> children, std::function<void()> told)
    : world_(world),
      state_(std::move(state)),
      first_(std::move(children)),
      told_(std::move(told)),
      changed_(world.outside) {
  subscription_ = world_.log.subscribe([this](const event& e) { take_in(e); });
}

void group_keeper::take_in(const event& e) {
  if (e.group == state_.name) {
    apply(state_, e);
    changed_->notify();
    if (told_) told_();
    return;
  }
  if (e.pool.empty()) return;
  if (state_.starts && e.kind == event_kind::worker_launched && holds(e.pool))
    state_.budget = take_start(state_.budget, *state_.starts, e.at);
  if (members_.contains(e.pool)) changed_->notify();
}

void group_keeper::start() {
  event opened{event_kind::group_opened};
  opened.count = static_cast<std::int64_t>(first_.size());
  opened.text = to_string(state_.restarts);
  transition(std::move(opened));
  for (auto& child : std::exchange(first_, {})) add(child);
  running_ = true;
  world_.keeping.spawn(keep(weak_from_this(), &group_keeper::run));
}

/// A child whose kind of code cannot be found any more is forgotten.
void group_keeper::resume() {
  const auto written = state_.members;
  for (auto& m : written) {
    auto known = spec_of(m);
    if (!known) {
      transition(about(event_kind::member_removed, state_, m));
      continue;
    }
    make(std::move(*known));
    members_.find(m.name)->second->resume(m);
  }
  first_.clear();
  running_ = true;
  if (state_.now == group_phase::stopped && told_) told_();
  world_.keeping.spawn(keep(weak_from_this(), &group_keeper::run));
}

/// As the policy says now; one that was added later is known by its pool.
std::optional<child_spec> group_keeper::spec_of(const member_state& m) const {
  auto said = std::ranges::find(first_, m.name, &child_spec::name);
  if (said != first_.end()) return *said;
  auto pool = world_.find_pool(m.name);
  if (!pool || pool->state().stopped) return {};
  auto& p = pool->state();
  auto known = m.kind == to_string(child_spec::kind::process)
                   ? child_spec::process(m.name, pool->what(p.generation))
                   : child_spec::pool(m.name, pool->what(p.generation), p.target);
  known.type = m.type;
  known.is_significant = m.significant;
  return known;
}

void group_keeper::dismiss() noexcept {
  dismissed_ = true;
  changed_->notify();
}

void group_keeper::abandon() {
  dismissed_ = true;
  auto alive = shared_from_this();
  subscription_.reset();
  members_.clear();
  changed_.reset();
}

asio::awaitable<void> group_keeper::run() {
  while (state_.now != group_phase::stopped && !dismissed_) {
    if (observe()) continue;
    auto next = next_event(state_);
    if (!next) {
      co_await changed_->wait(next_deadline());
      continue;
    }
    if (next->kind == event_kind::member_stopping) {
      auto& child = specs_.at(next->member);
      if (child.what == child_spec::kind::coroutine)
        next->deadline = later(world_.outside.now(), time_for(child));
    }
    auto done = *next;
    transition(std::move(*next));
    act(done);
  }
  running_ = false;
  if (dismissed_) co_return;
  for (auto& [name, child] : members_) child->close();
  subscription_.reset();  // another group may have the name from now on
}

/// Records what has become of a child since the last look; false where there is nothing new.
bool group_keeper::observe() {
  for (auto& m : state_.members) {
    if (m.now == member_phase::down) continue;
    auto view = members_.find(m.name)->second->look();
    if (view.now == member_view::standing::ended) {
      auto e = about(event_kind::member_ended, state_, m);
      if (view.cause) e.cause = view.cause;
      e.count = static_cast<std::int64_t>(view.how);
      e.text = std::move(view.words);
      transition(std::move(e));
      return true;
    }
    if (view.now == member_view::standing::up && m.now == member_phase::starting) {
      transition(about(event_kind::member_started, state_, m));
      return true;
    }
    if (m.now == member_phase::stopping && m.deadline <= world_.outside.now()) return give_up(m);
  }
  return false;
}

/// To end, once it is cancelled.
duration group_keeper::time_for(const child_spec& coroutine) const {
  return state_.quick ? std::min(coroutine.stop_within, quick_step) : coroutine.stop_within;
}

/// Nothing can end a coroutine that does not.
bool group_keeper::give_up(const member_state& m) {
  auto e = about(event_kind::member_ended, state_, m);
  e.count = static_cast<std::int64_t>(ending::abnormal);
  e.number = 1;
  e.text = "cancelled, it has not ended within " + describe(time_for(specs_.at(m.name))) +
           ", and is given up";
  transition(std::move(e));
  return true;
}

time_point group_keeper::next_deadline() const {
  auto next = never;
  for (auto& m : state_.members) next = std::min(next, m.deadline);
  return next;
}

/// What an event of ours means for the child.
void group_keeper::act(const event& e) {
  if (e.kind == event_kind::member_stopping) members_.find(e.member)->second->stop(state_.quick);
  if (e.kind == event_kind::member_removed) {
    members_.find(e.member)->second->close();
    members_.erase(e.member);
    specs_.erase(e.member);
  }
  if (e.kind != event_kind::member_starting) return;
  std::exception_ptr error;
  try {
    members_.find(e.member)->second->start();
  } catch (...) {
    error = std::current_exception();
  }
  if (!error) return;
  auto failed = about(event_kind::member_ended, state_, *state_.find(e.member));
  failed.count = static_cast<std::int64_t>(ending::abnormal);
  failed.text = words_of(error);
  transition(std::move(failed));
}

void group_keeper::add(child_spec child) {
  event e{event_kind::member_added};
  e.member = child.name;
  e.count = static_cast<std::int64_t>(child.type);
  e.number = child.is_significant;
  e.text = to_string(child.what);
  make(std::move(child));
  transition(std::move(e));
}

void group_keeper::make(child_spec child) {
  members_[child.name] = make_member(child, world_, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (self && self->changed_) self->changed_->notify();
  });
  specs_.emplace(child.name, std::move(child));
}

// What it bounds together.

bool group_keeper::holds(std::string_view pool) const {
  return std::ranges::any_of(members_, [&](auto& m) { return m.second->holds(pool); });
}

unsigned group_keeper::count_waiting(std::string_view before) const {
  unsigned n = 0;
  for (auto& m : state_.members) {
    auto& child = *members_.find(m.name)->second;
    n += child.count_waiting(before);
    if (child.holds(before)) break;
  }
  return n;
}

time_point group_keeper::turn_of(std::string_view pool, unsigned ahead, time_point now) const {
  if (!state_.starts || state_.now == group_phase::stopped || !holds(pool)) return now;
  return next_start(state_.budget, *state_.starts, 0, count_waiting(pool) + ahead, now);
}

void group_keeper::transition(event e) {
  e.group = state_.name;
  world_.log.record(std::move(e));  // comes back to the subscription
}

group_status group_keeper::status() const { return describe_group(state_); }

// Commands.

outcome group_keeper::closed() const {
  auto why = state_.why.empty() ? "" : ": " + state_.why;
  return failure(errc::pool_closed, "group " + state_.name + " is stopping" + why);
}

void group_keeper::begin_stop(bool quick) {
  if (!state_.ends()) {
    event e{event_kind::group_stopping};
    e.count = static_cast<std::int64_t>(ending::shutdown);
    e.number = static_cast<std::int64_t>(group_end::command);
    transition(std::move(e));
  }
  if (!quick || state_.quick || state_.now == group_phase::stopped) return;
  transition(event(event_kind::group_hastened));
  for (auto& [name, child] : members_)
    if (auto* within = child->subgroup(); within && within->state().ends())
      within->begin_stop(true);
}

group_keeper::settlement group_keeper::settled() { return when_settled(shared_from_this()); }
group_keeper::settlement group_keeper::ended() { return when_ended(shared_from_this()); }

group_keeper::settlement group_keeper::stop(bool quick) {
  begin_stop(quick);
  return when_ended(shared_from_this());
}

group_keeper::settlement group_keeper::start_child(child_spec child) {
  if (state_.ends()) return answer(closed());
  group_spec alone;
  alone.shutdown = state_.shutdown;
  alone.child(child);
  auto fault = find_fault(alone);
  if (!fault && state_.find(child.name))
    fault = "there is a child named " + child.name + " already";
  if (fault) return answer(failure(errc::invalid_argument, *fault));
  auto name = child.name;
  add(std::move(child));
  return when_tried(shared_from_this(), std::move(name));
}

group_keeper::settlement group_keeper::stop_child(std::string name) {
  auto* m = state_.find(name);
  if (state_.ends()) return answer(closed());
  if (!m) return answer(failure(errc::invalid_argument, "there is no child named " + name));
  transition(about(event_kind::member_stop_asked, state_, *m));
  return when_down(shared_from_this(), std::move(name));
}

group_keeper::settlement group_keeper::restart_child(std::string name) {
  auto* m = state_.find(name);
  if (state_.ends()) return answer(closed());
  if (!m) return answer(failure(errc::invalid_argument, "there is no child named " + name));
  if (m->wanted) return answer(failure(errc::invalid_argument, "child " + name + " runs"));
  transition(about(event_kind::member_start_asked, state_, *m));
  return when_tried(shared_from_this(), std::move(name));
}

outcome group_keeper::delete_child(const std::string& name) {
  auto* m = state_.find(name);
  if (state_.ends()) return closed();
  if (!m) return failure(errc::invalid_argument, "there is no child named " + name);
  if (m->wanted || m->now != member_phase::down)
    return failure(errc::invalid_argument, "child " + name + " runs; stop it first");
  auto e = about(event_kind::member_removed, state_, *m);
  auto done = e;
  transition(std::move(e));
  act(done);
  return {};
}

outcome group_keeper::release() {
  if (state_.ends()) return closed();
  if (has_coroutines())
    return failure(errc::invalid_argument,
                   "group " + state_.name + " has a coroutine, which would be left alone");
  let_go();
  return {};
}

bool group_keeper::has_coroutines() const {
  return std::ranges::any_of(state_.members, [&](auto& m) {
    auto* within = members_.find(m.name)->second->subgroup();
    if (within) return within->has_coroutines();
    return m.kind == to_string(child_spec::kind::coroutine);
  });
}

void group_keeper::let_go() {
  if (state_.now == group_phase::stopped) return;
  transition(event(event_kind::group_released));
  for (auto& [name, child] : members_)
    if (auto* within = child->subgroup()) within->let_go();
  members_.clear();
  subscription_.reset();  // another group may have the name from now on
}

// The waiting.

group_keeper::settlement group_keeper::when_settled(self_ptr self) {
  while (!::supervisor::settled(self->state_) || self->state_.now != group_phase::running) {
    if (self->dismissed_ || self->state_.ends()) co_return self->closed();
    co_await self->changed_->wait();
  }
  co_return outcome();
}

group_keeper::settlement group_keeper::when_ended(self_ptr self) {
  while (self->state_.now != group_phase::stopped) {
    if (self->dismissed_) co_return self->closed();
    co_await self->changed_->wait();
  }
  if (self->state_.by == group_end::failure) co_return failure(errc::degraded, self->state_.why);
  co_return outcome();
}

group_keeper::settlement group_keeper::when_down(self_ptr self, std::string name) {
  for (;;) {
    auto* m = self->state_.find(name);
    if (!m || m->now == member_phase::down) co_return outcome();
    if (self->dismissed_) co_return self->closed();
    co_await self->changed_->wait();
  }
}

group_keeper::settlement group_keeper::when_tried(self_ptr self, std::string name) {
  auto& g = self->state_;
  for (;;) {
    auto* m = g.find(name);
    if (!m || !m->asked) break;
    if (self->dismissed_ || g.ends()) co_return self->closed();
    co_await self->changed_->wait();
  }
  if (g.failed_child != name) co_return outcome();
  co_return failure(errc::degraded, "child " + name + " did not start: " + g.failure);
}

}  // namespace supervisor
