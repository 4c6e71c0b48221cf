// One look for a policy.
#include "supervision/pool_keeper.hpp"
#include "supervision/probing.hpp"
#include "supervision/supervisor_impl.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

asio::awaitable<probe_result> look(host& outside, child_id child, probe what) {
  condition wake(outside);
  const bool over = false;
  auto found = co_await look_once(outside, child, what, wake, over);
  co_return found;
}

asio::awaitable<probe_result> tell(probe_result known) { co_return known; }

}  // namespace

asio::awaitable<probe_result> supervisor::check(probe what) const {
  auto none = what.of(0, 0);
  return look(here().outside, 0, std::move(none));
}

std::uint64_t supervisor::random() const { return here().outside.random(); }

asio::awaitable<probe_result> pool::check(unsigned slot, probe what) const {
  auto& keeper = here();
  auto* s = keeper.state().keeper_of(slot);
  if (!s || !s->pid) return tell({false, "slot " + std::to_string(slot) + " has no worker"});
  return look(keeper.outside(), s->child, what.of(slot, s->pid));
}

}  // namespace supervisor
