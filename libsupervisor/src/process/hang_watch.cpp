// The part of a child that asks whether it is alive: see kernel/activity.hpp for how an idle worker
// costs nothing.
#include "kernel/channel.hpp"
#include "process/child.hpp"

namespace supervisor {

void child::begin_sampling() {
  if (what_->hang_timeout == duration{} || !cell_ || sampling_ || view_.hung) return;
  sample_later();
}

void child::sample_later() {
  sampling_ =
      services_.timers.call_at(steady_now() + what_->hang_timeout / 2, [self = weak_from_this()] {
        auto alive = self.lock();
        if (!alive) return;
        alive->sampling_ = 0;
        alive->sample();
      });
}

void child::sample() {
  if (view_.over() || !notify_) return;
  auto now = steady_now();
  if (asked_ != never && now - asked_ >= what_->hang_timeout) {
    view_.hung = true;
    return tell();
  }
  if (asked_ == never) {
    if (!anything_in_flight()) return;
    // A channel that is full is a worker that does not read: no less a question unanswered.
    notify_->send(kernel::word::ping);
    asked_ = now;
  }
  sample_later();
}

bool child::anything_in_flight() noexcept {
  auto& cell = cells_->at(*cell_);
  if (cell.in_flight) return true;
  cell.watched = 0;
  // A request that began just before that store believes itself watched: look again. Where one
  // began after it, `watched` is set again and BUSY=1 is under way.
  return cell.in_flight && cell.watched.exchange(1) == 0;
}

}  // namespace supervisor
