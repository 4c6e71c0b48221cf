#include "process/timer_queue.hpp"

#include <sys/timerfd.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <utility>

#include "kernel/descriptors.hpp"

namespace supervisor {

timer_queue::timer_queue(boost::asio::any_io_executor executor)
    : executor_(executor), timer_(std::move(executor), kernel::make_timer(), [this] { run(); }) {}

std::uint64_t timer_queue::call_at(time_point when, std::function<void()> work) {
  auto id = ++last_;
  queue_.emplace(std::pair(when, id), std::move(work));
  deadlines_.emplace(id, when);
  arm_later();
  return id;
}

void timer_queue::cancel(std::uint64_t id) noexcept {
  auto it = deadlines_.find(id);
  if (it == deadlines_.end()) return;
  queue_.erase({it->second, id});
  deadlines_.erase(it);
  arm_later();
}

/// Once a turn of the loop, behind what cannot wait: deadlines come and go together.
void timer_queue::arm_later() {
  if (std::exchange(arming_, true)) return;
  boost::asio::post(executor_, [this, alive = std::weak_ptr(alive_)] {
    if (alive.expired()) return;
    arming_ = false;
    arm();
  });
}

void timer_queue::arm() noexcept {
  auto first = queue_.empty() ? never : queue_.begin()->first.first;
  if (first == armed_) return;
  armed_ = first;
  kernel::set_timer(timer_.get(), first);
}

void timer_queue::run() {
  kernel::clear_timer(timer_.get());
  armed_ = never;
  auto now = std::chrono::time_point_cast<duration>(std::chrono::steady_clock::now());
  // What the work adds waits for the next turn, so that a deadline of now does not starve the loop.
  auto newest = last_;
  for (auto it = queue_.begin(); it != queue_.end() && it->first.first <= now;) {
    if (it->first.second > newest) {
      ++it;
      continue;
    }
    auto work = std::move(it->second);
    deadlines_.erase(it->first.second);
    queue_.erase(it);
    work();
    it = queue_.begin();  // the work may have cancelled any of them
  }
  arm();
}

}  // namespace supervisor
