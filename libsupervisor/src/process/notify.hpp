// What a child says of itself: the server's side of sd_notify(3), and of a worker's channel.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "process/watched_fd.hpp"
#include "supervisor/time.hpp"

namespace supervisor {

/// What one or more messages said.
struct notification {
  bool ready = false;
  bool stopping = false;
  bool busy = false;
  bool alive = false;
  bool heartbeat = false;
  bool recycle = false;
  unsigned reloads = 0;           ///< how often RELOADING=1 came
  std::optional<bool> reloading;  ///< what came last: that, or READY=1
  std::optional<std::string> status;
  std::optional<duration> extend;
  /// Takes in a message that came later; words we do not know are passed over. Its lines are said
  /// at once: one that is ready in the same breath has reloaded.
  void add(std::string_view message);
  void merge(const notification& later);

  // Of the last message alone:
  bool stores = false;    ///< FDSTORE=1: what came along is to be kept
  bool unstores = false;  ///< FDSTOREREMOVE=1, and a name
  std::string name;       ///< FDNAME=; else what systemd calls those without
  bool polled = true;     ///< FDPOLL=0 did not come
  /// That came along. They are closed with this, which is also the answer that BARRIER=1 waits for.
  std::vector<kernel::unique_fd> descriptors;
  /// To be told before the next message is read.
  bool stands_alone() const noexcept { return stores || unstores || !descriptors.empty(); }
  bool empty() const noexcept {
    return !(ready || stopping || busy || alive || heartbeat || recycle || reloads || status ||
             extend || stands_alone());
  }
};

/// Receives from one child's socket. What a message brought along is at hand while it is told.
class notify_server {
 public:
  /// A channel has one possible sender. To a datagram socket anybody may send: listened to are
  /// root, ourselves and `sender`. `told` may not destroy the server.
  notify_server(boost::asio::any_io_executor, kernel::unique_fd channel,
                std::function<void(notification&)> told);
  notify_server(boost::asio::any_io_executor, kernel::unique_fd datagrams,
                std::optional<uid_t> sender, std::function<void(notification&)> told);

  /// Tells what is queued now. Called when a child dies: what it said last counts.
  void drain();
  /// To the worker; never waits. False when it did not take it.
  bool send(std::string_view word, std::span<const int> descriptors = {}) noexcept;
  int socket() const noexcept { return socket_.get(); }

 private:
  bool receive(notification&);

  bool channel_;
  std::optional<uid_t> sender_;
  std::function<void(notification&)> told_;
  watched_fd socket_;
};

}  // namespace supervisor
