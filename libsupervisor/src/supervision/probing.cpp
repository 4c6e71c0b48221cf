#include "supervision/probing.hpp"

#include <algorithm>
#include <optional>

#include "host/span.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

/// The host calls nobody who has gone.
struct running_probe {
  host& outside;
  probe_id id;
  ~running_probe() { outside.cancel_probe(id); }
};

}  // namespace

asio::awaitable<probe_result> look_once(host& outside, child_id child, const probe& what,
                                        condition& wake, const bool& over) {
  for (;;) {
    std::optional<probe_result> found;
    auto asleep = outside.asleep();
    probe_timing timing;
    timing.due = later(outside.now(), what.timeout);
    auto done = [&](probe_result r) {
      found = std::move(r);
      wake.notify();
    };
    {
      running_probe running{outside, outside.start_probe(child, what, done)};
      while (!over && !found && outside.now() < timing.due) co_await wake.wait(timing.due);
    }
    if (over) co_return probe_result();
    timing.now = outside.now();
    timing.asleep = outside.asleep() - asleep;
    if (!found) found.emplace(false, "no answer within " + describe(what.timeout));
    if (found->well || is_evidence(timing)) co_return std::move(*found);
  }
}

struct probing::watch {
  watch(host& h, child_id c, probe w, time_point f, told t)
      : outside(h), child(c), what(std::move(w)), first(f), tell(std::move(t)), wake(h) {}
  host& outside;
  child_id child;
  const probe what;
  time_point first;
  told tell;
  bool over = false;
  std::optional<condition> wake;
};

probing::probing(host& outside, child_id child)
    : outside_(outside), child_(child), group_(outside.executor(), [](auto) {}) {}

probing::~probing() {
  for (auto& each : watches_) {
    each->over = true;
    each->wake.reset();  // and with it the coroutine that waits
  }
}

void probing::begin(probe what, time_point first, told tell) {
  auto spread = static_cast<double>(outside_.random() >> 11) / 0x1p53;
  auto wait = static_cast<double>(what.period.count()) * spread;
  first = later(std::max(first, outside_.now()), duration(static_cast<duration::rep>(wait)));
  watches_.push_back(
      std::make_shared<watch>(outside_, child_, std::move(what), first, std::move(tell)));
  group_.spawn(keep_looking(watches_.back()));
}

asio::awaitable<void> probing::keep_looking(std::shared_ptr<watch> self) {
  auto& [outside, child, what, next, tell, over, wake] = *self;
  health so_far;
  for (;;) {
    while (!over && outside.now() < next) co_await wake->wait(next);
    if (over) co_return;
    auto began = outside.now();
    auto found = co_await look_once(outside, child, what, *wake, over);
    if (over) co_return;
    auto before = std::exchange(so_far, judge(what, so_far, found.well));
    next = std::max(later(began, what.period), outside.now());
    tell(before, so_far, found);
  }
}

}  // namespace supervisor
