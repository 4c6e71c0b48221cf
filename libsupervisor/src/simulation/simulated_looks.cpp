#include "simulation/simulated_looks.hpp"

#include <utility>

namespace supervisor {

probe_id simulated_looks::start(const probe_answer& answer, done tell) {
  auto id = ++last_;
  probes_.emplace(id, std::move(tell));
  if (!answer.takes) return id;
  auto arrive = [this, id, result = answer.result] {
    auto waiting = probes_.extract(id);
    if (waiting) waiting.mapped()(result);
  };
  loop_.call_at(loop_.after(*answer.takes), arrive, owner::world);
  return id;
}

void simulated_looks::cancel_probe(probe_id id) noexcept { probes_.erase(id); }

void simulated_looks::set_queued(unsigned n) {
  queued_ = n;
  tell_of_queue();
}

watch_id simulated_looks::watch(std::function<void()> readable) {
  auto id = ++last_;
  watches_.emplace(id, std::move(readable));
  tell_of_queue();
  return id;
}

void simulated_looks::cancel_watch(watch_id id) noexcept { watches_.erase(id); }

void simulated_looks::tell_of_queue() {
  if (queued_ == 0 || watches_.empty()) return;
  loop_.post([this] {
    if (queued_ == 0) return;
    for (auto& [id, readable] : std::exchange(watches_, {})) readable();
  });
}

void simulated_looks::crash() {
  auto probes = std::exchange(probes_, {});
  auto watches = std::exchange(watches_, {});
}

}  // namespace supervisor
