// The public handle to a pool.
#include <boost/asio/error.hpp>

#include "supervision/decide.hpp"
#include "supervision/outcomes.hpp"
#include "supervision/pool_keeper.hpp"
#include "supervisor/supervisor.hpp"

namespace asio = boost::asio;

namespace supervisor {

pool::pool(std::shared_ptr<pool_keeper> keeper) : keeper_(std::move(keeper)) {}

const std::string& pool::name() const { return keeper_->name(); }
unsigned pool::size() const { return here().state().target; }
unsigned pool::ready() const { return count_ready(here().state()); }
const spec& pool::what() const { return here().what(keeper_->state().generation); }
pool_status pool::status() const {
  auto& outside = here().outside();
  auto sample = [&outside](child_id child) { return outside.sample(child); };
  auto status = describe_pool(keeper_->state(), outside.now(), sample);
  for (auto& row : status.slots) row.stored = outside.stored(name(), row.slot);
  return status;
}

asio::awaitable<outcome> pool::resize(unsigned count) {
  return keeper_->when(here().resize(count));
}
asio::awaitable<outcome> pool::roll() {
  return keeper_->when(here().roll({}, keeper_->rollouts()));
}
asio::awaitable<outcome> pool::roll(rollout_options how) {
  return keeper_->when(here().roll({}, std::move(how)));
}
asio::awaitable<outcome> pool::roll(spec next) {
  return keeper_->when(here().roll(std::move(next), keeper_->rollouts()));
}
asio::awaitable<outcome> pool::roll(spec next, rollout_options how) {
  return keeper_->when(here().roll(std::move(next), std::move(how)));
}
void pool::rollouts(rollout_options how) { here().set_rollouts(std::move(how)); }
const rollout_options& pool::rollouts() const { return here().rollouts(); }
asio::awaitable<outcome> pool::pause_rollout() { return keeper_->when(here().pause_rollout()); }
asio::awaitable<outcome> pool::resume_rollout() { return keeper_->when(here().resume_rollout()); }
asio::awaitable<outcome> pool::abort_rollout(std::string why) {
  return keeper_->when(here().abort_rollout(std::move(why)));
}
void pool::needs(std::vector<requirement> all) { here().set_needs(all); }
asio::awaitable<outcome> pool::undo(std::optional<std::uint64_t> generation) {
  return keeper_->when(here().undo(generation, keeper_->rollouts()));
}
asio::awaitable<outcome> pool::undo(std::optional<std::uint64_t> generation, rollout_options how) {
  return keeper_->when(here().undo(generation, std::move(how)));
}
asio::awaitable<outcome> pool::restart(unsigned slot) {
  return keeper_->when(here().restart(slot));
}
asio::awaitable<outcome> pool::drain() { return keeper_->when(here().drain()); }
asio::awaitable<outcome> pool::resume() { return keeper_->when(here().resume()); }
asio::awaitable<outcome> pool::stop(bool quick) { return keeper_->when(here().stop(quick)); }
asio::awaitable<outcome> pool::settled() { return here().when(awaited::until::settled); }

boost::system::error_code pool::signal(unsigned slot, int number) {
  return here().signal(slot, number);
}
void pool::signal_all(int number) { here().signal_all(number); }

pool_keeper& pool::here() const {
  expect_loop(keeper_->outside());
  return *keeper_;
}

void pool::ask(command what, handler<outcome> h) const {
  using asked = request<outcome>;
  auto work = [self = *this, what = std::move(what)](asked::pointer r) mutable {
    auto& keeper = *self.keeper_;
    if (keeper.dismissed())
      r->answer(failure(errc::pool_closed, "the pool is closed"));
    else
      keeper.carry_out(std::move(r), what(self));
  };
  auto given_up = failure(asio::error::operation_aborted, "it is waited for no more");
  asked::start(keeper_->executor(), std::move(h), {std::move(given_up)}, std::move(work));
}

void pool::ask_signal(unsigned slot, int number, handler<boost::system::error_code> h) const {
  using asked = request<boost::system::error_code>;
  auto work = [keeper = keeper_, slot, number](asked::pointer r) {
    r->answer(keeper->dismissed() ? errc::pool_closed : keeper->signal(slot, number));
  };
  asked::start(keeper_->executor(), std::move(h), {asio::error::operation_aborted},
               std::move(work));
}

void pool::ask_status(handler<pool_status> h) const {
  using asked = request<pool_status>;
  auto work = [self = *this](asked::pointer r) {
    if (!self.keeper_->dismissed()) r->answer(self.status());
  };
  pool_status unknown;
  unknown.name = name();
  asked::start(keeper_->executor(), std::move(h), {std::move(unknown)}, std::move(work));
}

}  // namespace supervisor
