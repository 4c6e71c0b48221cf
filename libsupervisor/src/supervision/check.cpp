// Looks for a policy, and for a rollout.
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

struct fresh_worker {
  fresh_worker(unsigned s, child_id c, probe p) : slot(s), child(c), asked(std::move(p)) {}
  unsigned slot = 0;
  child_id child = 0;
  probe asked;
};

/// Of an address that all share, one look tells of all.
std::vector<fresh_worker> fresh_workers(const pool_state& p, const probe& what) {
  bool of_one = what.how == probe::way::log_line || what.how == probe::way::heartbeat;
  bool shared = !of_one && what.of(0, 1) == what.of(1, 2);
  std::vector<fresh_worker> all;
  for (auto& s : p.slots)
    if (s.now == phase::ready && s.generation == p.generation && (all.empty() || !shared))
      all.emplace_back(s.number, s.child, what.of(s.number, s.pid));
  return all;
}

asio::awaitable<health_verdict> look_at_fresh(pool whom, probe what) {
  auto& keeper = whom.keeper();
  auto all = fresh_workers(keeper.state(), what);
  for (auto& each : all) {
    auto looking = look(keeper.outside(), each.child, each.asked);
    auto found = co_await std::move(looking);
    if (found.well) continue;
    auto words = "slot " + std::to_string(each.slot) + ": " + each.asked.str() + ": " + found.words;
    co_return health_verdict::no(std::move(words));
  }
  co_return true;
}

}  // namespace

rollout_options& rollout_options::healthy(::supervisor::probe asked, duration every) & {
  healthy([asked](pool whom) { return look_at_fresh(std::move(whom), asked); }, every);
  probe = std::move(asked);
  return *this;
}

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
