// What a worker is made of.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <limits>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/exclusive.hpp"
#include "kernel/sockets.hpp"
#include "supervisor/condition.hpp"
#include "supervisor/scoreboard.hpp"
#include "supervisor/task_group.hpp"
#include "supervisor/worker.hpp"
#include "worker/balance.hpp"
#include "worker/boot.hpp"
#include "worker/request_book.hpp"

namespace supervisor {

/// A descriptor that many workers share and one of them at a time is to be woken for: in this
/// worker's epoll set only between admit() and dismiss(). Asio borrows it.
struct shared_descriptor {
  shared_descriptor(boost::asio::io_context&, int fd);
  ~shared_descriptor();
  int admit() noexcept { return kernel::admit(place, fd); }  ///< 0, or errno
  void dismiss() noexcept { kernel::dismiss(place, fd); }

  int fd;
  boost::asio::posix::stream_descriptor descriptor;
  kernel::registration place;
};

/// One listening socket as this worker sees it, and the relay on which the connections come that
/// other workers hand over.
struct worker::listener::state : std::enable_shared_from_this<worker::listener::state> {
  state(boost::asio::io_context&, std::string name, int fd, const relay*);
  /// A connection, if one is there: accepted, or handed over. Else empty, and why.
  kernel::unique_fd take(int& error);
  /// Suspends until a connection is there, or wake(). 0, or errno where the kernel refuses.
  boost::asio::awaitable<int> readable();
  void wake();
  /// The worker is told to leave: what waits now is the last that it takes. A wakeup that it had
  /// may have been for one of those; for the next, others are woken.
  void close_line();

  std::string name;
  shared_descriptor line;
  std::optional<shared_descriptor> relayed;
  std::optional<boost::asio::posix::stream_descriptor> giving;  ///< waits for room
  int give = -1;
  boost::asio::generic::stream_protocol protocol;
  unsigned waiting = 0;
  bool took = false;  // the last accept() took a connection and suspended nowhere

 private:
  static constexpr unsigned all = std::numeric_limits<unsigned>::max();
  void expect_relayed();
  kernel::unique_fd take_relayed(int& error);
  unsigned to_accept_ = all, to_take_ = all;
  bool look_at_relay_ = true;  // something may be there
  bool expecting_ = false;
};

struct worker::impl {
  impl(boost::asio::io_context&, worker_boot);

  /// Shows a phase of this worker's life on the scoreboard.
  void enter(scoreboard::phase) noexcept;
  /// How this worker is to leave, in the supervisor's word.
  void take_terms(std::string_view word);
  /// What idle() waits for in vain comes to an end: the worker is to leave, or how has changed.
  void stir_idle();
  /// Until when idle() waits.
  time_point idle_until(std::chrono::nanoseconds patience) const noexcept;

  /// Stops accepting, once; tells the supervisor and whoever waits.
  void drain();
  /// Drains, and cancels what is in flight.
  void leave_now();
  /// Tells the exception that is being handled, of `who`, and cancels what is in flight; returns
  /// the exit code for it.
  int fail(const char* who);
  /// Sends a word to the supervisor; what the socket does not take waits until it does.
  void say(std::string_view word, kernel::unique_fd along = {});
  void send_unsent();
  /// Obeys the supervisor's words until the socket closes, which means that it is gone.
  void listen_to_supervisor();
  void obey();
  void take_stored(std::string_view names, kernel::packet&);
  /// False: the supervisor is gone.
  bool read_words();
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
  struct message {
    std::string word;
    kernel::unique_fd along;
  };
  std::deque<message> unsent;
  std::vector<std::pair<std::string, kernel::unique_fd>> stored;  ///< that was not asked for yet
  condition told_to_stop;
  task_group tasks;
  boost::asio::steady_timer relief_timer;
  std::vector<std::shared_ptr<listener::state>> listeners;
  std::unique_ptr<signal_feed> feed;
  signal_dispatcher dispatcher;
  std::vector<signal_dispatcher::registration> handlers;
  bool draining = false;
  bool leaving_now = false;
  time_point told_at{};  // to leave
  time_point leave_by = never;
  bool others_stay = false;
  std::list<connection*> idle;  // in idle()
};

}  // namespace supervisor
