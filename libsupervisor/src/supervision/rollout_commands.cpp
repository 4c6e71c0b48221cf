// What a pool's handle asks of rollouts, and the health check of a bake.
#include <algorithm>
#include <stdexcept>

#include "supervision/decide.hpp"
#include "supervision/events.hpp"
#include "supervision/outcomes.hpp"
#include "supervision/pool_keeper.hpp"
#include "supervision/rollout.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

/// "2 and 1", for people.
std::string list_of(const std::deque<std::uint64_t>& generations) {
  std::string text;
  for (auto g : generations) text += (text.empty() ? "" : ", ") + std::to_string(g);
  return text.empty() ? "none is" : "kept: " + text;
}

/// What it throws is a no, but for the cancellation.
asio::awaitable<void> ask(health_check check, ::supervisor::pool whom, health_verdict& said) {
  std::exception_ptr error;
  try {
    auto asking = check(std::move(whom));
    said = co_await std::move(asking);
  } catch (...) {
    error = std::current_exception();
  }
  if (!error) co_return;
  if (is_cancellation(error)) std::rethrow_exception(error);
  said = health_verdict::no(words_of(error));
}

}  // namespace

void pool_keeper::set_rollouts(rollout_options how) {
  if (auto fault = find_fault(how)) throw std::invalid_argument("pool " + name() + ": " + *fault);
  rollouts_ = std::move(how);
  changed_->notify();
}

awaited pool_keeper::roll(std::optional<spec> next, rollout_options how) {
  if (state_.stopping) return refused_as_closed();
  auto fault = find_fault(how);
  if (!fault && next) fault = find_fault(*next, host_);
  if (fault) return {errc::invalid_argument, *fault};
  auto what = programs_.at(state_.generation).what;
  if (next) what = std::make_shared<const spec>(std::move(*next));
  auto generation = state_.last_generation + 1;
  programs_.emplace(generation, std::move(what));
  return begin_rollout(generation, false, std::move(how));
}

awaited pool_keeper::begin_rollout(std::uint64_t generation, bool kept, rollout_options how) {
  auto e = about_pool(event_kind::rollout_started);
  e.generation = generation;
  e.count = kept;
  e.text = describe_program(what(generation));
  e.plan = std::make_shared<const rollout_plan>(how.plan);
  programs_.at(generation).told = false;
  checked_ = transition(std::move(e));
  check_ = std::move(how.health);
  return {awaited::until::rolled, checked_};
}

awaited pool_keeper::undo(std::optional<std::uint64_t> generation, rollout_options how) {
  if (state_.stopping) return refused_as_closed();
  if (state_.rolling && generation.value_or(state_.committed) == state_.committed)
    return abort_rollout("undone");
  auto& kept = state_.kept;
  if (auto fault = find_fault(how)) return {errc::invalid_argument, *fault};
  if (!generation && kept.empty()) return {errc::not_kept, "no generation before this one is kept"};
  auto target = generation.value_or(kept.empty() ? 0 : kept.front());
  if (std::ranges::find(kept, target) == kept.end()) {
    auto number = std::to_string(target);
    auto why = target == state_.committed ? " serves already" : " is not kept";
    return {errc::not_kept, "generation " + number + why + "; " + list_of(kept)};
  }
  return begin_rollout(target, true, std::move(how));
}

awaited pool_keeper::pause_rollout() {
  if (state_.stopping) return refused_as_closed();
  if (!state_.rolling) return {errc::no_rollout, ""};
  if (!state_.roll.paused) transition(about_pool(event_kind::rollout_paused));
  return awaited::until::nothing;
}

awaited pool_keeper::resume_rollout() {
  if (state_.stopping) return refused_as_closed();
  if (!state_.rolling) return {errc::no_rollout, ""};
  if (state_.roll.paused) transition(about_pool(event_kind::rollout_resumed));
  return {awaited::until::rolled, state_.history.back().id};
}

awaited pool_keeper::abort_rollout(std::string why) {
  if (state_.stopping) return refused_as_closed();
  if (!state_.rolling) return {errc::no_rollout, ""};
  auto e = about_pool(event_kind::rollout_failed);
  e.count = 1;
  e.text = why.empty() ? "aborted" : "aborted: " + why;
  transition(std::move(e));
  return awaited::until::settled;
}

pool_keeper::settlement pool_keeper::when_rolled(self_ptr self, std::uint64_t rollout) {
  auto& p = self->state_;
  for (;;) {
    if (self->dismissed_ || p.stopping) co_return closed();
    auto* mine = find_rollout(p, rollout);
    auto end = mine ? mine->end : rollout_end::superseded;
    if (end == rollout_end::superseded)
      co_return failure(errc::superseded, "a later rollout took its place");
    bool failed = end == rollout_end::failed || end == rollout_end::aborted;
    if (!failed && p.drained)
      co_return failure(errc::superseded, "the pool was drained; resumed, it rolls on");
    if (settled(p)) {
      auto now = standing(p);
      if (!failed) co_return now;
      co_return failure(errc::rolled_back, mine->why + (now.ok ? "" : "; now " + now.reason));
    }
    co_await self->changed_->wait();
  }
}

/// A health check for the bake there is, and none for one that is over.
void pool_keeper::tend_bake() {
  bool wanted = awaits_verdict(state_) && !state_.stopping && !dismissed_;
  if (watch_ && !(wanted && watch_->bake == state_.roll.bake))
    std::exchange(watch_, {})->asking.interrupt();
  if (!wanted || watch_) return;
  // One that another supervisor began is judged by what this one's policy says of all.
  auto check = state_.history.back().id == checked_ ? check_ : rollouts_.health;
  if (!check) return;
  watch_ = std::make_shared<bake_watch>(state_.roll.bake);
  group_.spawn(watch(shared_from_this(), watch_, std::move(check)));
}

asio::awaitable<void> pool_keeper::watch(self_ptr self, std::shared_ptr<bake_watch> mine,
                                         health_check check) {
  auto& p = self->state_;
  auto& outside = self->host_;
  ::supervisor::pool whom(self);
  health_verdict said(true);
  while (self->watch_ == mine) {
    bool last = outside.now() >= p.roll.bake_until && !p.roll.paused;
    auto asking = ask(check, whom, said);
    co_await mine->asking.run(std::move(asking));
    if (self->watch_ != mine) co_return;
    if (last || !said.healthy) {
      auto e = self->about_pool(event_kind::rollout_judged);
      e.count = said.healthy;
      e.text = said.why.empty() && !said.healthy ? "it said no" : said.why;
      e.cause = p.roll.bake;
      self->transition(std::move(e));
      co_return;
    }
    auto next = later(outside.now(), p.roll.plan.ask_every);
    if (outside.now() < p.roll.bake_until) next = std::min(next, p.roll.bake_until);
    while (self->watch_ == mine && outside.now() < next) co_await self->changed_->wait(next);
  }
}

}  // namespace supervisor
