#include <algorithm>

#include "host/deadline_timer.hpp"
#include "supervisor/condition.hpp"
#include "supervisor/timers.hpp"

namespace asio = boost::asio;

namespace supervisor {

struct interval_timer::impl {
  explicit impl(const asio::any_io_executor& executor) : timer(executor), changed(executor) {}

  deadline_timer timer;  // set only while somebody waits
  condition changed;
  time_point next = never;  // never: stopped
  duration period{};
};

interval_timer::interval_timer(asio::any_io_executor executor)
    : impl_(std::make_unique<impl>(executor)) {}

interval_timer::interval_timer(asio::any_io_executor executor, duration first, duration period)
    : interval_timer(std::move(executor)) {
  reset(first, period);
}

interval_timer::~interval_timer() = default;

asio::awaitable<std::uint64_t> interval_timer::tick() {
  auto& self = *impl_;
  struct disarm {
    deadline_timer& timer;
    ~disarm() { timer.cancel(); }
  } at_end{self.timer};
  while (self.next != never) {
    auto late = self.timer.now() - self.next;
    if (late >= duration{}) {
      bool repeats = self.period > duration{};
      std::int64_t ticks = repeats ? 1 + late / self.period : 1;
      self.next = repeats ? self.next + ticks * self.period : never;
      co_return static_cast<std::uint64_t>(ticks);
    }
    self.timer.set(self.next, [&self] { self.changed.notify(); });
    co_await self.changed.wait();
  }
  co_return 0;
}

duration interval_timer::remaining() const noexcept {
  if (impl_->next == never) return {};
  return std::max(duration{}, impl_->next - impl_->timer.now());
}

duration interval_timer::interval() const noexcept { return impl_->period; }

void interval_timer::reset(duration first, duration period) {
  impl_->next = later(impl_->timer.now(), first);
  impl_->period = std::max(period, duration{});
  impl_->changed.notify();
}

void interval_timer::stop() noexcept {
  impl_->next = never;
  impl_->changed.notify();
}

}  // namespace supervisor
