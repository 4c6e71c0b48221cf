#include "process/orphan_watch.hpp"

#include <unistd.h>

#include <boost/system/system_error.hpp>
#include <csignal>

#include "kernel/pidfd.hpp"
#include "kernel/signal_handlers.hpp"

namespace supervisor {

namespace {

/// Whoever dies is mostly a child of ours, and the CPU is wanted for its replacement.
constexpr auto look_after = std::chrono::milliseconds(50);

}  // namespace

orphan_watch::orphan_watch(boost::asio::any_io_executor executor, timer_queue& timers,
                           reaper& children)
    : timers_(timers), children_(children), deaths_(executor, SIGCHLD) {
  kernel::restart_calls(SIGCHLD);
  listen();
}

void orphan_watch::listen() {
  std::weak_ptr<void> alive = alive_;
  deaths_.async_wait([this, alive](boost::system::error_code error, int) {
    if (error || alive.expired()) return;
    if (!looking_) look_later();
    listen();
  });
}

void orphan_watch::look_later() {
  auto when = later(std::chrono::steady_clock::now(), look_after);
  std::weak_ptr<void> alive = alive_;
  looking_ = timers_.call_at(when, [this, alive] {
    if (!alive.expired()) look();
  });
}

void orphan_watch::look() {
  looking_ = 0;
  try {
    children_.adopt_strangers(kernel::children_of(::getpid()));
  } catch (const boost::system::system_error&) {
    // No descriptor is left: at the next death.
  }
}

}  // namespace supervisor
