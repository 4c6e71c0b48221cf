// Children that this process has not made: descendants whose own parent has died.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/signal_set.hpp>
#include <cstdint>
#include <memory>

#include "host/host.hpp"
#include "process/reaper.hpp"
#include "process/timer_queue.hpp"

namespace supervisor {

/// Reaps them, for a process to which they fall, prctl(2) PR_SET_CHILD_SUBREAPER. SIGCHLD is only
/// the hint that there may be one.
class orphan_watch {
 public:
  orphan_watch(boost::asio::any_io_executor, timer_queue&, reaper&);
  orphan_watch(const orphan_watch&) = delete;

 private:
  void listen();
  void look_later();
  void look();

  timer_queue& timers_;
  reaper& children_;
  boost::asio::signal_set deaths_;
  timer_id looking_ = 0;
  std::shared_ptr<void> alive_ = std::make_shared<char>();
};

}  // namespace supervisor
