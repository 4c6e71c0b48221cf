// The kinds of children that a group can have, behind one face.
#include <algorithm>
#include <csignal>
#include <exception>
#include <stdexcept>

#include "host/interruptible.hpp"
#include "supervision/decide.hpp"
#include "supervision/group_keeper.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

using standing = member_view::standing;

// --- processes and pools

/// How a worker that rests has left.
ending ending_of(const slot_state& s) {
  if (s.now == phase::given_up) return ending::abnormal;
  if (s.last_cause == exit_cause::finished) return ending::normal;
  auto signal = s.last_exit.signal();
  bool asked = signal && (*signal == SIGTERM || *signal == SIGINT || *signal == SIGHUP);
  return s.last_cause == exit_cause::killed && asked ? ending::shutdown : ending::abnormal;
}

/// It is stopped by draining it, so that it keeps its listeners, its generation and its history.
class pool_member final : public member {
 public:
  pool_member(const child_spec& what, const group_world& world)
      : world_(world),
        name_(what.name),
        program_(what.program),
        size_(what.size),
        on_open_(what.on_open) {}

  void start() override {
    told_ = opened_ = false;
    pool_ = world_.find_pool(name_);
    if (pool_ && !pool_->state().stopping) {
      opened_ = true;
      static_cast<void>(pool_->resume());  // recorded at its call
    }
    open();
  }
  /// Its workers' ladders are the pool's to cut short.
  void stop(bool) override {
    told_ = true;
    if (opened_) static_cast<void>(pool_->drain());
  }
  void close() override {
    if (opened_) static_cast<void>(pool_->stop(false));
  }
  void resume(const member_state& m) override {
    pool_ = world_.find_pool(name_);
    opened_ = pool_ && !pool_->state().stopped;
    // Of one that was there the end is news; one that was to be opened is so now.
    told_ = m.now != member_phase::starting && (m.now != member_phase::up || !opened_);
  }

  bool holds(std::string_view pool) const override { return pool == name_; }
  unsigned count_waiting(std::string_view before) const override {
    return before == name_ || !pool_ ? 0 : pool_->count_waiting();
  }

  member_view look() override {
    open();
    if (!opened_) return told_ ? standing::ended : standing::starting;
    auto& p = pool_->state();
    if (p.stopped || (told_ && p.slots.empty())) return gone();
    if (told_ || p.drained || p.stopping) return standing::up;
    bool all_rest = !p.slots.empty() && std::ranges::all_of(p.slots, &slot_state::rests);
    if (p.escalated || all_rest) return over(p);
    auto arrived = [](const slot_state& s) {
      return s.now == phase::ready || s.now == phase::finished;
    };
    bool up = p.slots.size() >= p.wanted() && std::ranges::all_of(p.slots, arrived);
    return up ? standing::up : standing::starting;
  }

 private:
  /// As soon as one of the same name has gone.
  void open() {
    if (opened_ || told_ || (pool_ && !pool_->state().stopped)) return;
    pool_ = world_.open_pool(name_, *program_, size_);
    opened_ = true;
    if (on_open_) on_open_(::supervisor::pool(pool_));
  }
  static member_view gone() {
    member_view view{standing::ended};
    view.how = ending::shutdown;
    view.words = "stopped";
    return view;
  }
  /// The worst of its workers' ends is the pool's.
  static member_view over(const pool_state& p) {
    member_view view{standing::ended};
    for (auto& s : p.slots) {
      if (!s.rests() || (!view.words.empty() && ending_of(s) <= view.how)) continue;
      view.how = ending_of(s);
      view.words = s.now == phase::given_up ? describe_surrender(s) : describe_exit(s);
      view.cause = s.last_event;
    }
    return view;
  }

  const group_world& world_;
  std::string name_;
  std::shared_ptr<const spec> program_;
  unsigned size_;
  std::function<void(::supervisor::pool)> on_open_;
  bool opened_ = false;
  bool told_ = false;
  std::shared_ptr<pool_keeper> pool_;
};

/// A pool of one whose every exit is the group's to answer.
child_spec as_pool(const child_spec& process) {
  auto only_once = *process.program;
  only_once.restart = restart_policy().temporary();
  return child_spec::pool(process.name, std::move(only_once), 1).opened(process.on_open);
}

// --- coroutines

struct progress {
  explicit progress(std::function<void()> c) : changed(std::move(c)) {}
  void set(standing now) {
    view.now = now;
    changed();
  }
  member_view view;
  std::function<void()> changed;
};

void tell_end(member_view& view, const std::exception_ptr& error) {
  if (!error) {
    view.words = "returned";
    return;
  }
  view.how = is_cancellation(error) ? ending::shutdown : ending::abnormal;
  view.words = view.how == ending::shutdown ? "cancelled" : words_of(error);
}

asio::awaitable<void> run_coroutine(child_spec::coroutine_function make,
                                    std::shared_ptr<progress> its) {
  std::exception_ptr error;
  try {
    group_child self([its] {
      if (its->view.now == standing::starting) its->set(standing::up);
    });
    auto made = make(self);
    co_await std::move(made);
  } catch (...) {
    error = std::current_exception();
  }
  tell_end(its->view, error);
  its->set(standing::ended);
}

class coroutine_member final : public member {
 public:
  coroutine_member(const child_spec& what, const group_world& world, std::function<void()> changed)
      : name_("child " + what.name),
        make_(what.make),
        changed_(std::move(changed)),
        tasks_(world.outside.executor()) {}

  void start() override {
    if (now_ && now_->view.now != standing::ended)
      throw std::runtime_error("it has not ended since it was cancelled");
    now_ = std::make_shared<progress>(changed_);
    auto make = make_;
    tasks_.spawn(run_coroutine(std::move(make), now_), name_);
  }
  void stop(bool) override { tasks_.cancel(); }
  member_view look() override { return now_->view; }
  /// It went with the supervisor before.
  void resume(const member_state& m) override {
    if (m.now == member_phase::starting || m.now == member_phase::up) return start();
    now_ = std::make_shared<progress>(changed_);
    now_->view.now = standing::ended;
    now_->view.how = ending::shutdown;
    now_->view.words = "gone with its supervisor";
  }
  bool holds(std::string_view) const override { return false; }
  unsigned count_waiting(std::string_view) const override { return 0; }

 private:
  std::string name_;
  child_spec::coroutine_function make_;
  std::function<void()> changed_;
  std::shared_ptr<progress> now_;
  task_group tasks_;
};

// --- groups

/// Each start is a new group of the same name: what was added to the one before is forgotten.
class subgroup_member final : public member {
 public:
  subgroup_member(const child_spec& what, const group_world& world, std::function<void()> changed)
      : name_(what.name), what_(what.children), world_(world), changed_(std::move(changed)) {}

  void start() override { group_ = world_.open_group(name_, *what_, changed_); }
  void stop(bool quick) override {
    if (group_) group_->begin_stop(quick);
  }
  void resume(const member_state& m) override {
    if (m.now != member_phase::down) group_ = world_.resume_group(name_, *what_, changed_);
  }
  bool holds(std::string_view pool) const override { return group_ && group_->holds(pool); }
  unsigned count_waiting(std::string_view before) const override {
    return group_ ? group_->count_waiting(before) : 0;
  }
  group_keeper* subgroup() const override { return group_.get(); }

  member_view look() override {
    if (!group_) return standing::ended;  // it was not written down
    auto& g = group_->state();
    if (g.now == group_phase::running) return standing::up;
    if (g.now != group_phase::stopped) return standing::starting;  // or still leaving
    member_view view{standing::ended};
    view.how = g.last;
    view.words = g.why;
    view.cause = g.last_event;
    return view;
  }

 private:
  std::string name_;
  std::shared_ptr<const group_spec> what_;
  const group_world& world_;
  std::function<void()> changed_;
  std::shared_ptr<group_keeper> group_;
};

}  // namespace

std::unique_ptr<member> make_member(const child_spec& what, const group_world& world,
                                    std::function<void()> changed) {
  switch (what.what) {
    case child_spec::kind::process:
      return std::make_unique<pool_member>(as_pool(what), world);
    case child_spec::kind::pool:
      return std::make_unique<pool_member>(what, world);
    case child_spec::kind::coroutine:
      return std::make_unique<coroutine_member>(what, world, std::move(changed));
    case child_spec::kind::group:
      return std::make_unique<subgroup_member>(what, world, std::move(changed));
  }
  return nullptr;
}

}  // namespace supervisor
