// The two timers of the kernel that run on CPU time.
#include <stdexcept>

#include "kernel/error.hpp"
#include "supervisor/timers.hpp"

namespace supervisor {

namespace {

int kind_of(cpu_time what) noexcept {
  return what == cpu_time::user ? ITIMER_VIRTUAL : ITIMER_PROF;
}

/// Rounded up: zero would disarm the timer.
timeval to_timeval(duration d) {
  auto count = std::chrono::ceil<std::chrono::microseconds>(d).count();
  return {static_cast<time_t>(count / 1'000'000), static_cast<suseconds_t>(count % 1'000'000)};
}

duration to_duration(const timeval& t) {
  return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
}

itimerval present(cpu_time what) noexcept {
  itimerval now{};
  ::getitimer(kind_of(what), &now);  // fails for a wrong kind only
  return now;
}

}  // namespace

cpu_timer::cpu_timer(signal_dispatcher& signals, cpu_time what, duration first, duration period)
    : what_(what) {
  if (first == duration{}) throw std::invalid_argument("a CPU timer's first time must not be zero");
  signals.watch(signal());
  itimerval wanted{to_timeval(period), to_timeval(first)};
  if (::setitimer(kind_of(what), &wanted, &before_) != 0) kernel::throw_errno("setitimer");
}

cpu_timer::~cpu_timer() { ::setitimer(kind_of(what_), &before_, nullptr); }

int cpu_timer::signal() const noexcept { return what_ == cpu_time::user ? SIGVTALRM : SIGPROF; }
duration cpu_timer::remaining() const noexcept { return to_duration(present(what_).it_value); }
duration cpu_timer::interval() const noexcept { return to_duration(present(what_).it_interval); }

}  // namespace supervisor
