#include "simulation/virtual_loop.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <stdexcept>

namespace asio = boost::asio;

namespace supervisor {

namespace {

/// More steps than this at one time are a loop without end.
constexpr std::size_t too_many_steps = 1'000'000;

void count(std::size_t& steps) {
  if (++steps > too_many_steps) throw std::logic_error("the simulated loop comes to no rest");
}

}  // namespace

/// With a public shutdown(), which drops what is queued and the coroutines in it; executors stay
/// valid until the destructor.
struct virtual_loop::io : asio::io_context {
  io() : asio::io_context(1), work(get_executor()) {}
  using asio::execution_context::shutdown;
  asio::executor_work_guard<executor_type> work;
};

virtual_loop::virtual_loop(time_point start) : now_(start), context_(new io) {}
virtual_loop::~virtual_loop() = default;

time_point virtual_loop::after(duration d) const noexcept {
  return d < never - now_ ? now_ + d : never;
}

asio::any_io_executor virtual_loop::executor() noexcept { return context_->get_executor(); }

asio::execution_context& virtual_loop::context() noexcept { return *context_; }

void virtual_loop::post(std::function<void()> work) { asio::post(*context_, std::move(work)); }

timer_id virtual_loop::call_at(time_point when, std::function<void()> work, owner whose) {
  auto id = ++last_;
  timers_.emplace(id, timer{when, std::move(work), whose, false});
  if (when <= now_)
    make_due(id);
  else if (when != never)
    deadlines_.emplace(when, id);
  return id;
}

void virtual_loop::make_due(timer_id id) {
  timers_.at(id).due = true;
  post([this, id] {
    auto it = timers_.find(id);
    if (it == timers_.end()) return;  // cancelled since
    auto work = std::move(it->second.work);
    timers_.erase(it);
    work();
  });
}

void virtual_loop::cancel(timer_id id) {
  auto it = timers_.find(id);
  if (it == timers_.end()) return;
  deadlines_.erase({it->second.when, id});
  auto work = std::move(it->second.work);  // outlives the entry: its destructor may come back here
  timers_.erase(it);
}

bool virtual_loop::step() { return context_->poll_one() != 0; }

std::size_t virtual_loop::settle() {
  std::size_t steps = 0;
  while (step()) count(steps);
  return steps;
}

/// Moves the clock to the next deadline, at most to `end`; false when there is none until then.
bool virtual_loop::advance(time_point end) {
  if (deadlines_.empty() || deadlines_.begin()->first > end) return false;
  now_ = deadlines_.begin()->first;
  std::vector<timer_id> due;
  while (!deadlines_.empty() && deadlines_.begin()->first == now_) {
    due.push_back(deadlines_.begin()->second);
    deadlines_.erase(deadlines_.begin());
  }
  for (auto left = due.size(); pick && left > 1; --left) std::swap(due[left - 1], due[pick(left)]);
  for (auto id : due) make_due(id);
  return true;
}

bool virtual_loop::run_until(const std::function<bool()>& done, duration limit) {
  auto end = after(limit);
  std::size_t steps = 0;
  while (!done()) {
    if (step()) {
      count(steps);
      continue;
    }
    steps = 0;
    if (advance(end)) continue;
    if (!deadlines_.empty()) now_ = end;
    return false;
  }
  return true;
}

void virtual_loop::run_for(duration d) {
  auto end = after(d);
  do settle();
  while (advance(end));
  now_ = end;
}

void virtual_loop::crash() {
  std::vector<std::function<void()>> dropped;  // destroyed last: destructors may come back here
  crashed_.push_back(std::exchange(context_, std::make_unique<io>()));
  for (auto it = timers_.begin(); it != timers_.end();) {
    auto& [id, timer] = *it;
    if (timer.whose == owner::world) {
      if (timer.due) make_due(id);
      ++it;
    } else {
      deadlines_.erase({timer.when, id});
      dropped.push_back(std::move(timer.work));
      it = timers_.erase(it);
    }
  }
  crashed_.back()->shutdown();
}

}  // namespace supervisor
