#include "supervision/pool_keeper.hpp"

#include <algorithm>
#include <utility>

#include "supervision/decide.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

/// A coroutine begins from the loop, and what it works on may be gone by then.
template <typename Object, typename Run>
asio::awaitable<void> if_alive(std::weak_ptr<Object> object, Run run) {
  auto* alive = object.lock().get();
  if (!alive) co_return;
  auto running = run(*alive);
  co_await std::move(running);
}

}  // namespace

pool_keeper::pool_keeper(host& outside, journal& log, task_group& group, pool_state state,
                         program_specs specs)
    : host_(outside), journal_(log), group_(group), state_(std::move(state)), changed_(outside) {
  for (auto& [generation, what] : specs) programs_.emplace(generation, std::move(what));
  subscription_ = journal_.subscribe([this](const event& e) {
    if (e.pool == state_.name) apply(state_, e);
  });
}

pool_keeper::~pool_keeper() = default;

void pool_keeper::start() {
  for (auto& s : state_.slots) start_slot(s.id);
  group_.spawn(if_alive(weak_from_this(), [](pool_keeper& self) { return self.run(); }));
}

void pool_keeper::abandon() {
  auto keep = shared_from_this();
  subscription_.reset();
  slots_.clear();
  changed_.reset();
}

asio::awaitable<void> pool_keeper::run() {
  while (!state_.stopped) {
    tend_programs();
    auto next = next_event(state_);
    bool wait = !next;
    // The last output of the last worker is still to come: a stopped pool has told everything.
    if (next && next->kind == event_kind::pool_stopped && !departures_.empty()) wait = true;
    if (wait)
      co_await changed_->wait();
    else
      transition(std::move(*next));
  }
  tend_programs();
}

/// Runs one slot to its end.
asio::awaitable<void> pool_keeper::keep(slot& s, std::uint64_t id) {
  co_await s.run();
  auto e = about_pool(event_kind::slot_removed);
  auto& gone = *state_.find(id);
  e.slot_id = id;
  e.slot = gone.number;
  e.generation = gone.generation;
  e.cause = gone.last_event;
  slots_.erase(id);
  transition(std::move(e));
}

void pool_keeper::start_slot(std::uint64_t id) {
  auto created = std::make_shared<slot>(*this, *state_.find(id));
  slots_.emplace(id, created);
  group_.spawn(if_alive(std::weak_ptr(created), [this, id](slot& s) { return keep(s, id); }));
}

void pool_keeper::transition(event e) {
  e.pool = state_.name;
  auto kind = e.kind;
  auto slot_id = e.slot_id;
  journal_.record(std::move(e));  // applies it: see the constructor
  if (kind == event_kind::slot_added) start_slot(slot_id);
  if (kind == event_kind::slot_retiring) slots_.at(slot_id)->wake();
  if (kind == event_kind::pool_stopping) wake_slots();
  changed_->notify();
}

void pool_keeper::departed(event e) {
  auto key = std::pair(e.slot_id, state_.find(e.slot_id)->launches);
  departure left{0, e.slot, e.generation};
  // A launch that failed, a child that the host has lost: nothing of it is reported.
  bool will_be_reported = e.child && !e.launch && e.why != exit_cause::lost;
  auto slot_id = e.slot_id;
  transition(std::move(e));
  left.event = state_.find(slot_id)->last_event;
  if (will_be_reported) departures_.emplace(key, left);
  poke_one();
}

void pool_keeper::reported(const child_key& key, std::shared_ptr<const exit_report> report) {
  auto e = about_pool(event_kind::worker_reported);
  e.slot_id = key.slot_id;
  e.pid = report->pid;
  e.exit = report->status;
  e.launch = report->launch;
  e.report = std::move(report);
  auto known = departures_.extract({key.slot_id, key.launch});
  e.generation = 0;
  if (known) {
    e.cause = known.mapped().event;
    e.slot = known.mapped().slot;
    e.generation = known.mapped().generation;
  }
  transition(std::move(e));
}

void pool_keeper::wake_slots() {
  for (auto& [id, s] : slots_) s->wake();
}

/// A connection whose wakeup went to the worker that left must not wait for the next one.
void pool_keeper::poke_one() {
  for (auto& s : state_.slots)
    if (s.now == phase::ready) return host_.poke(s.child);
}

// Programs.

void pool_keeper::tend_programs() {
  auto needed = needed_programs(state_);
  for (auto it = programs_.begin(); it != programs_.end();) {
    auto& [generation, program] = *it;
    bool close = !needed.contains(generation) && std::exchange(program.asked, false);
    if (close) host_.close_program(name(), generation);
    // A worker that leaves is treated as its spec says to its end.
    bool of_a_slot = std::ranges::count(state_.slots, generation, &slot_state::generation) > 0;
    it = needed.contains(generation) || of_a_slot ? std::next(it) : programs_.erase(it);
  }
  for (auto& [generation, program] : programs_) {
    if (!needed.contains(generation)) continue;
    if (!std::exchange(program.asked, true)) open_program(generation);
    auto view = host_.program(name(), generation);
    if (view.open && !std::exchange(program.told, true)) {
      auto e = about_pool(event_kind::program_opened);
      e.generation = generation;
      transition(std::move(e));
    } else if (view.failed && state_.rolling && generation == state_.generation) {
      auto e = about_pool(event_kind::rollout_failed);
      e.text = view.failed->str();
      transition(std::move(e));
    }
  }
}

void pool_keeper::open_program(std::uint64_t generation) {
  host_.open_program(name(), generation, programs_.at(generation).what, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self || !self->changed_) return;
    self->changed_->notify();
    self->wake_slots();
  });
}

program_view pool_keeper::program(std::uint64_t generation) const {
  auto known = programs_.find(generation);
  if (known == programs_.end() || !known->second.asked) return {};
  return host_.program(name(), generation);
}

void pool_keeper::reopen_program(std::uint64_t generation) {
  host_.close_program(name(), generation);
  open_program(generation);
}

time_point pool_keeper::next_start(time_point now) const {
  auto budget = state_.budget;
  return take_start(budget, state_.target, now);
}

event pool_keeper::about_pool(event_kind kind) const {
  event e{kind};
  e.generation = state_.generation;
  return e;
}

program_specs pool_keeper::specs() const {
  program_specs all;
  for (auto& [generation, program] : programs_) all.emplace(generation, program.what);
  return all;
}

}  // namespace supervisor
