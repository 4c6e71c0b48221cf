#include "supervision/pool_keeper.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "supervision/decide.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

asio::awaitable<void> answer_with(std::shared_ptr<request<outcome>> asked,
                                  asio::awaitable<outcome> settling) {
  auto settled = co_await std::move(settling);
  asked->answer(std::move(settled));
}

/// A coroutine begins from the loop, and what it works on may be gone by then.
template <typename Object, typename Run>
asio::awaitable<void> if_alive(std::weak_ptr<Object> object, Run run) {
  auto* alive = object.lock().get();
  if (!alive) co_return;
  auto running = run(*alive);
  co_await std::move(running);
}

}  // namespace

pool_keeper::pool_keeper(host& outside, journal& log, task_group& group, neighbours others,
                         turns groups, pool_state state, program_specs specs)
    : host_(outside),
      executor_(outside.executor()),
      journal_(log),
      group_(group),
      others_(std::move(others)),
      turns_(std::move(groups)),
      state_(std::move(state)),
      changed_(outside) {
  for (auto& [generation, what] : specs) programs_.emplace(generation, std::move(what));
  subscription_ = journal_.subscribe([this](const event& e) {
    if (e.pool == state_.name) take_in(e);
  });
}

pool_keeper::~pool_keeper() = default;

void pool_keeper::start() {
  group_.spawn(if_alive(weak_from_this(), [](pool_keeper& self) { return self.run(); }));
}

void pool_keeper::carry_out(std::shared_ptr<request<outcome>> asked, settlement settling) {
  group_.spawn(answer_with(std::move(asked), std::move(settling)));
}

void pool_keeper::dismiss() noexcept {
  dismissed_ = true;
  changed_->notify();
}

void pool_keeper::abandon() {
  dismissed_ = true;
  auto keep = shared_from_this();
  subscription_.reset();
  slots_.clear();
  changed_.reset();
}

asio::awaitable<void> pool_keeper::run() {
  while (!state_.stopped && !dismissed_) {
    tend_programs();
    if (look_for_needs()) continue;
    start_slots();
    tend_bake();
    if (poke_owed_) poke_owed_ = !poke_one();
    auto next = next_event(state_, host_.now());
    bool wait = !next;
    // The last output of the last worker is still to come: a stopped pool has told everything.
    if (next && next->kind == event_kind::pool_stopped && awaits_reports()) wait = true;
    if (wait)
      co_await changed_->wait(next_look(state_));
    else
      transition(std::move(*next));
  }
  tend_bake();
  if (dismissed_) co_return;
  tend_programs();
  subscription_.reset();  // another pool may have the name from now on
}

/// Runs one slot to its end.
asio::awaitable<void> pool_keeper::keep(slot& s) {
  if (dismissed_) co_return;
  co_await s.run();
  auto e = s.about_me(event_kind::slot_removed);
  auto same = [&](const slot_state& other) { return other.number == e.slot; };
  if (std::ranges::count_if(state_.slots, same) == 1) host_.drop_stored(name(), e.slot);
  slots_.erase(e.slot_id);
  transition(std::move(e));
}

/// Those that the state has and nobody runs yet.
void pool_keeper::start_slots() {
  if (slots_.size() == state_.slots.size()) return;  // one leaves both together, see keep()
  std::vector<std::shared_ptr<slot>> fresh;
  for (auto& s : state_.slots) {
    auto& running = slots_[s.id];
    if (!running) fresh.push_back(running = std::make_shared<slot>(*this, s));
  }
  for (auto& s : fresh)
    group_.spawn(if_alive(std::weak_ptr(s), [this](slot& started) { return keep(started); }));
}

std::uint64_t pool_keeper::transition(event e) {
  e.pool = state_.name;
  return journal_.record(std::move(e));  // comes back to take_in()
}

void pool_keeper::take_in(const event& e) {
  apply(state_, e);
  switch (e.kind) {
    case event_kind::slot_retiring:
      if (auto s = slots_.find(e.slot_id); s != slots_.end()) s->second->wake();
      break;
    case event_kind::pool_stopping:
    case event_kind::pool_resumed:
      wake_slots();
      break;
    case event_kind::worker_exited:
      departed(e);
      break;
    default:
      break;
  }
  changed_->notify();
}

void pool_keeper::departed(const event& e) {
  auto& left = state_.departures;
  if (!left.empty() && left.back().event == e.id)
    if (auto early = early_reports_.extract({left.back().slot_id, left.back().launch}))
      record_report(left.back(), std::move(early.mapped()));
  poke_owed_ = true;  // by run(), which wakes after the slot that starts the replacement
}

/// Nothing will be reported of a child that the host has lost, or never had, or has reported to the
/// supervisor before this one.
bool pool_keeper::awaits_reports() const {
  return std::ranges::any_of(state_.departures, [this](const departure& d) {
    auto child = host_.find({name(), d.slot_id, d.launch});
    return child && !host_.look(child).reported;
  });
}

void pool_keeper::reported(const child_key& key, std::shared_ptr<const exit_report> report) {
  auto left = std::ranges::find_if(state_.departures, [&](const departure& d) {
    return d.slot_id == key.slot_id && d.launch == key.launch;
  });
  auto* s = state_.find(key.slot_id);
  if (left != state_.departures.end()) return record_report(*left, std::move(report));
  if (s && s->child && s->launches == key.launch) {  // the slot is yet to wake
    early_reports_.emplace(child_launch{key.slot_id, key.launch}, std::move(report));
    return;
  }
  departure unknown;
  unknown.slot_id = key.slot_id;
  record_report(unknown, std::move(report));
}

void pool_keeper::record_report(departure left, std::shared_ptr<const exit_report> report) {
  event e{event_kind::worker_reported};
  e.slot_id = left.slot_id;
  e.slot = left.slot;
  e.generation = left.generation;
  e.cause = left.event;
  e.pid = report->pid;
  e.exit = report->status;
  e.launch = report->launch;
  e.report = std::move(report);
  transition(std::move(e));
}

void pool_keeper::wake_slots() {
  for (auto& [id, s] : slots_) s->wake();
}

/// A connection whose wakeup went to the worker that left must not wait for the next one. False
/// when none is known to be ready: one may wait for connections already, its READY=1 on the way.
bool pool_keeper::poke_one() {
  for (auto& s : state_.slots) {
    if (s.now != phase::ready || host_.look(s.child).stopping) continue;
    host_.poke(s.child);
    return true;
  }
  return false;
}

// What it needs of other pools.

std::string pool_keeper::missing() const {
  auto known = programs_.find(state_.generation);
  if (known == programs_.end()) return {};
  for (auto& needed : known->second.what->needs)
    if (!met(needed.what, others_(needed.pool)))
      return needed.pool + ": " + std::string(to_string(needed.what));
  return {};
}

bool pool_keeper::needs(std::string_view pool) const {
  auto known = programs_.find(state_.generation);
  return known != programs_.end() &&
         std::ranges::find(known->second.what->needs, pool, &requirement::pool) !=
             known->second.what->needs.end();
}

/// Of all its generations: what it goes back to is started no earlier.
void pool_keeper::set_needs(const std::vector<requirement>& all) {
  program_specs changed;
  for (auto& [generation, program] : programs_) {
    auto what = *program.what;
    what.needs = all;
    if (auto fault = find_fault(what))
      throw std::invalid_argument("pool " + name() + ": " + *fault);
    changed.emplace(generation, std::make_shared<const spec>(std::move(what)));
  }
  for (auto& [generation, what] : changed) programs_.at(generation).what = std::move(what);
  host_.want_save();
  changed_->notify();
}

/// True where that has changed.
bool pool_keeper::look_for_needs() {
  auto now = missing();
  if (now == state_.held) {
    if (now.empty() && !what(state_.generation).needs.empty()) wake_slots();
    return false;
  }
  auto e = about_pool(now.empty() ? event_kind::pool_released : event_kind::pool_held);
  e.text = std::move(now);
  transition(std::move(e));
  wake_slots();
  return true;
}

// Programs.

void pool_keeper::tend_programs() {
  for (auto it = programs_.begin(); it != programs_.end();) {
    auto generation = it->first;
    if (needs_program(state_, generation)) {
      ++it;
      continue;
    }
    it = programs_.erase(it);
    host_.close_program(name(), generation);
  }
  for (auto& [generation, program] : programs_) {
    if (!std::exchange(program.asked, true)) open_program(generation);
    bool on_trial = state_.rolling && generation == state_.generation;
    if (program.told && !on_trial) continue;
    auto view = host_.program(name(), generation);
    if (view.open && !std::exchange(program.told, true)) {
      auto e = about_pool(event_kind::program_opened);
      e.generation = generation;
      e.cause = state_.last_command;
      transition(std::move(e));
    } else if (view.failed && on_trial) {
      auto e = about_pool(event_kind::rollout_failed);
      e.cause = state_.last_command;
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

time_point pool_keeper::turn_of(const slot_state& me, time_point now) const {
  // Each in its turn, at a time of its own: they need not all wake for every token.
  unsigned ahead = 0;
  for (auto it = state_.slots.begin(); &*it != &me; ++it) ahead += it->now == phase::waiting;
  auto own = next_start(state_.budget, what(me.generation).starts, state_.target, ahead, now);
  return std::max(own, turns_(state_.name, ahead, now));
}

unsigned pool_keeper::count_waiting() const {
  if (!state_.held.empty()) return 0;
  auto waits = [&](const slot_state& s) {
    return s.now == phase::waiting && program(s.generation).open;
  };
  return static_cast<unsigned>(std::ranges::count_if(state_.slots, waits));
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
