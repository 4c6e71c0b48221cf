// What a pool's handle asks for: recorded at the call, told when settled.
#include <algorithm>
#include <boost/system/errc.hpp>

#include "supervision/decide.hpp"
#include "supervision/events.hpp"
#include "supervision/outcomes.hpp"
#include "supervision/pool_keeper.hpp"
#include "supervisor/errc.hpp"

namespace supervisor {

awaited pool_keeper::resize(unsigned count) {
  if (state_.stopping) return refused_as_closed();
  if (auto fault = find_fault(count)) return {errc::invalid_argument, *fault};
  auto e = about_pool(event_kind::pool_resized);
  e.count = count;
  transition(std::move(e));
  return awaited::until::settled_beside_rollout;
}

awaited pool_keeper::restart(unsigned number) {
  if (state_.stopping) return refused_as_closed();
  auto* old = state_.keeper_of(number);
  if (!old)
    return {errc::no_such_slot, "pool " + name() + " has no slot " + std::to_string(number)};
  for (auto& s : state_.slots)
    if (s.replaces == old->id && s.retiring == exit_cause::none)
      return {awaited::until::restarted, s.id};
  auto e = successor_of(state_, *old, old->generation);
  e.cause = 0;  // the command's, or the handler's that calls
  auto fresh = e.slot_id;
  transition(std::move(e));
  return {awaited::until::restarted, fresh};
}

awaited pool_keeper::drain() {
  if (state_.stopping) return refused_as_closed();
  if (!state_.drained) transition(about_pool(event_kind::pool_drained));
  return awaited::until::settled;
}

awaited pool_keeper::resume() {
  if (state_.stopping) return refused_as_closed();
  if (state_.drained || std::ranges::any_of(state_.slots, &slot_state::rests))
    transition(about_pool(event_kind::pool_resumed));
  return awaited::until::settled_beside_rollout;
}

awaited pool_keeper::stop(bool quick) {
  if (!state_.stopping || (quick && !state_.quick && !state_.stopped)) {
    auto e = about_pool(event_kind::pool_stopping);
    e.count = quick;
    transition(std::move(e));
  }
  return awaited::until::stopped;
}

boost::system::error_code pool_keeper::signal(unsigned number, int signal) {
  auto* s = state_.keeper_of(number);
  if (!s) return errc::no_such_slot;
  if (!s->pid) return make_error_code(boost::system::errc::no_such_process);
  return send(*s, signal);
}

void pool_keeper::signal_all(int signal) {
  for (auto& s : state_.slots)
    if (s.pid) send(s, signal);
}

boost::system::error_code pool_keeper::send(const slot_state& s, int signal) {
  auto e = about_pool(event_kind::worker_signalled);
  e.slot_id = s.id;
  e.slot = s.number;
  e.generation = s.generation;
  e.child = s.child;
  e.pid = s.pid;
  e.number = signal;
  transition(std::move(e));
  return host_.signal(s.child, signal);
}

// The waiting. Each looks at the state after every change, and needs to have seen none of them.

pool_keeper::settlement pool_keeper::when(awaited what) {
  auto self = shared_from_this();
  switch (what.what) {
    case awaited::until::nothing:
      break;
    case awaited::until::refused:
      return answer(failure(what.why, std::move(what.reason)));
    case awaited::until::settled:
      return when_true(std::move(self), settled);
    case awaited::until::settled_beside_rollout:
      return when_true(std::move(self), settled_beside_rollout);
    case awaited::until::stopped:
      return when_true(std::move(self), settled, true);
    case awaited::until::rolled:
      return when_rolled(std::move(self), what.id);
    case awaited::until::restarted:
      return when_restarted(std::move(self), what.id);
  }
  return answer({});
}

pool_keeper::settlement pool_keeper::when_true(self_ptr self, test holds, bool until_stopped) {
  auto& p = self->state_;
  while (!holds(p)) {
    if (self->dismissed_ || (p.stopping && !until_stopped)) co_return closed();
    co_await self->changed_->wait();
  }
  co_return standing(p);
}

pool_keeper::settlement pool_keeper::when_restarted(self_ptr self, std::uint64_t fresh) {
  auto& p = self->state_;
  for (;;) {
    if (self->dismissed_ || p.stopping) co_return closed();
    if (p.last_trouble.slot_id == fresh)
      co_return failure(errc::degraded,
                        "the fresh worker failed, the old one stays: " + p.last_trouble.text);
    auto* s = p.find(fresh);
    if (!s || s->retiring != exit_cause::none)
      co_return failure(errc::superseded, "the pool was changed meanwhile");
    bool took_over = !s->replaces && s->arrived();
    if (took_over && settled_beside_rollout(p)) co_return standing(p);
    co_await self->changed_->wait();
  }
}

}  // namespace supervisor
