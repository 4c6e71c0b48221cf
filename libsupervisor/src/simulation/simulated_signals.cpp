#include "simulation/simulated_signals.hpp"

#include <boost/system/system_error.hpp>
#include <csignal>

namespace supervisor {

void simulated_signals::watch(int number) {
  if (number < 1 || number > SIGRTMAX || number == SIGKILL || number == SIGSTOP)
    throw boost::system::system_error(EINVAL, boost::system::system_category(), "watch a signal");
  watched_.insert(number);
}

void simulated_signals::on_ready(std::function<void()> ready) {
  ready_ = std::move(ready);
  if (!pending_.empty()) call_ready();
}

void simulated_signals::deliver(const signal_event& event) {
  if (!watched_.contains(event.number)) return;
  keep(event);
  call_ready();
}

/// Real-time signals queue, the others are merged, as signal(7) has it; only
/// the count is exact.
void simulated_signals::keep(const signal_event& event) {
  if (event.number < SIGRTMIN)
    for (auto& known : pending_)
      if (known.number == event.number) {
        known.count += event.count;
        return;
      }
  pending_.push_back(event);
}

void simulated_signals::call_ready() {
  loop_.post([this] {
    if (auto ready = ready_) ready();
  });
}

void simulated_signals::crash() {
  watched_.clear();
  pending_.clear();
  ready_ = nullptr;
}

}  // namespace supervisor
