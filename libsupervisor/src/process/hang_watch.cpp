// The part of a child that looks whether its requests end: see kernel/activity.hpp for how an idle
// worker costs nothing.
#include "kernel/channel.hpp"
#include "kernel/scoreboard.hpp"
#include "process/child.hpp"

namespace supervisor {

void child::begin_sampling() {
  bool wanted = what_->hang_timeout > duration{} || what_->request_timeout > duration{};
  if (!wanted || !cell_ || sampling_ || view_.hung || view_.overdue) return;
  look_later(*sample());
}

void child::look_later(const scoreboard& seen) {
  auto now = steady_now();
  auto next = never;
  if (what_->hang_timeout > duration{}) next = now + what_->hang_timeout / 2;
  if (what_->request_timeout > duration{})
    next = std::min(next, later(now, what_->request_timeout - seen.oldest.age));
  sampling_ = services_.timers.call_at(next, [self = weak_from_this()] {
    auto alive = self.lock();
    if (!alive) return;
    alive->sampling_ = 0;
    alive->look_at_work();
  });
}

void child::look_at_work() {
  if (view_.over() || !notify_) return;
  auto now = steady_now();
  auto seen = *sample();
  auto longest = what_->request_timeout;
  view_.overdue = longest > duration{} && seen.in_flight > 0 && seen.oldest.age >= longest;
  view_.hung = asked_ != never && now - asked_ >= what_->hang_timeout;
  if (view_.overdue || view_.hung) return tell();
  if (asked_ == never) {
    if (seen.in_flight == 0) {
      // A request that begins while `watched` is cleared may believe itself watched, and its store
      // to `in_flight` be seen only in a moment: hence the look after that. One that finds it
      // cleared sends BUSY=1.
      if (cells_->at(*cell_).watched.exchange(0) == 0) return;
    } else if (what_->hang_timeout > duration{}) {
      // A channel that is full is a worker that does not read: no less a question unanswered.
      notify_->send(kernel::word::ping);
      asked_ = now;
    }
  }
  look_later(seen);
}

}  // namespace supervisor
