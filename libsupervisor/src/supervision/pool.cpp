// The public handle to a pool.
#include "supervision/decide.hpp"
#include "supervision/pool_keeper.hpp"
#include "supervisor/supervisor.hpp"

namespace asio = boost::asio;

namespace supervisor {

pool::pool(std::shared_ptr<pool_keeper> keeper) : keeper_(std::move(keeper)) {}

const std::string& pool::name() const { return keeper_->name(); }
unsigned pool::size() const { return keeper_->state().target; }
unsigned pool::ready() const { return count_ready(keeper_->state()); }
pool_status pool::status() const {
  auto& outside = keeper_->outside();
  auto sample = [&outside](child_id child) { return outside.sample(child); };
  return describe_pool(keeper_->state(), outside.now(), sample);
}

asio::awaitable<outcome> pool::resize(unsigned count) { return keeper_->resize(count); }
asio::awaitable<outcome> pool::roll() { return keeper_->roll({}); }
asio::awaitable<outcome> pool::roll(spec next) { return keeper_->roll(std::move(next)); }
asio::awaitable<outcome> pool::restart(unsigned slot) { return keeper_->restart(slot); }
asio::awaitable<outcome> pool::drain() { return keeper_->drain(); }
asio::awaitable<outcome> pool::resume() { return keeper_->resume(); }
asio::awaitable<outcome> pool::stop(bool quick) { return keeper_->stop(quick); }
asio::awaitable<outcome> pool::settled() { return keeper_->settled(); }

boost::system::error_code pool::signal(unsigned slot, int number) {
  return keeper_->signal(slot, number);
}
void pool::signal_all(int number) { keeper_->signal_all(number); }

}  // namespace supervisor
