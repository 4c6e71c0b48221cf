// What a worker is made of.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "kernel/exclusive.hpp"
#include "supervisor/condition.hpp"
#include "supervisor/scoreboard.hpp"
#include "supervisor/task_group.hpp"
#include "supervisor/worker.hpp"
#include "worker/balance.hpp"
#include "worker/boot.hpp"
#include "worker/request_book.hpp"

namespace supervisor {

/// One listening socket as this worker sees it. The descriptor is the mold's setup's and shared
/// with all workers; Asio only borrows it.
struct worker::listener::state {
  state(boost::asio::io_context&, std::string name, int fd);
  ~state();
  /// Suspends until a connection is there, or wake(). 0, or errno where the kernel refuses.
  boost::asio::awaitable<int> readable();
  void wake();

  std::string name;
  int fd;
  boost::asio::generic::stream_protocol protocol;
  boost::asio::posix::stream_descriptor descriptor;
  kernel::registration place;
  unsigned waiting = 0;
  bool took = false;  // the last accept() took a connection and suspended nowhere
};

struct worker::impl {
  impl(boost::asio::io_context&, worker_boot);

  /// Shows a phase of this worker's life on the scoreboard.
  void enter(scoreboard::phase) noexcept;
  /// Stops accepting, once; tells the supervisor and whoever waits.
  void drain();
  /// Drains, and cancels what is in flight.
  void leave_now();
  /// Tells the exception that is being handled, of `who`, and cancels what is in flight; returns
  /// the exit code for it.
  int fail(const char* who);
  /// Sends a word to the supervisor; what the socket does not take waits until it does.
  void say(std::string_view word);
  void send_unsent();
  /// Obeys the supervisor's words until the socket closes, which means that it is gone.
  void listen_to_supervisor();
  void obey();
  void catch_signals();
  /// Suspends until a descriptor may be free again: a task ended, or 100 ms.
  boost::asio::awaitable<void> relief();
  /// Does this worker hold so much more than its siblings that one of them is to have the next?
  bool holds_too_much() const noexcept;
  /// Suspends until it does not, for a millisecond at most.
  boost::asio::awaitable<void> give_way();

  boost::asio::io_context& context;
  worker_boot boot;
  kernel::activity& activity;
  request_book requests;
  balance sharing;
  boost::asio::posix::stream_descriptor channel;
  std::deque<std::string> unsent;
  condition told_to_stop;
  task_group tasks;
  boost::asio::steady_timer relief_timer;
  std::vector<std::shared_ptr<listener::state>> listeners;
  std::unique_ptr<signal_feed> feed;
  signal_dispatcher dispatcher;
  std::vector<signal_dispatcher::registration> handlers;
  bool draining = false;
  bool leaving_now = false;
};

}  // namespace supervisor
