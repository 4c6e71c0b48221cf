// What a function worker has in its hands.
#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "supervisor/signals.hpp"
#include "supervisor/time.hpp"
#include "supervisor/version.hpp"

namespace supervisor {

/// A connection that a worker accepted; TCP or unix, as the listener is. While one lives it counts
/// as open on the worker's scoreboard, by which workers share the load: keep it, also where only
/// its socket is moved on.
class connection : public boost::asio::generic::stream_protocol::socket {
 public:
  /// What it is, but for the count.
  using socket = boost::asio::generic::stream_protocol::socket;
  /// What is moved from does not count.
  connection(connection&& other) noexcept
      : socket(static_cast<socket&&>(other)), open_(std::exchange(other.open_, nullptr)) {}
  /// What it was is closed.
  connection& operator=(connection&& other) noexcept {
    socket::operator=(static_cast<socket&&>(other));
    discount();
    open_ = std::exchange(other.open_, nullptr);
    return *this;
  }
  ~connection() { discount(); }

 private:
  friend class worker;
  connection(socket&& accepted, std::atomic<std::uint32_t>& open) noexcept
      : socket(std::move(accepted)), open_(&open) {
    open_->fetch_add(1, std::memory_order_relaxed);
  }
  void discount() noexcept {
    if (open_) open_->fetch_sub(1, std::memory_order_relaxed);
  }
  std::atomic<std::uint32_t>* open_;  ///< null: moved from
};

/// Why worker::idle() has ended.
enum class idle_end : std::uint8_t {
  readable,     ///< there is something to read, or the client has left
  handed_over,  ///< the connection is another worker's
  deadline,     ///< the worker leaves: close it
};

/// A worker process as its own coroutine sees it. Lives on the worker's one thread.
///
/// The end: the supervisor sends TERM. From then on draining() is true, accept() hands out what is
/// queued by then and returns empty; the worker function returns, what it spawned is awaited,
/// and the process exits 0. QUIT cuts this short: what is in flight is cancelled. Another TERM
/// changes nothing, because a service manager that signals a whole cgroup sends one of its own.
class worker {
 public:
  struct impl;
  /// For the library's own rooms.
  explicit worker(std::unique_ptr<impl>);
  ~worker();
  worker(const worker&) = delete;

  /// The number of its slot, from 0.
  unsigned slot() const noexcept;
  /// Of the program and spec it was made of.
  std::uint64_t generation() const noexcept;
  /// The name of its pool.
  const std::string& pool() const noexcept;
  /// Of its one thread.
  boost::asio::any_io_executor executor() noexcept;

  /// A listening socket of the supervisor's, by name; shared with the other workers.
  class listener {
   public:
    /// As worker::listener() was asked for.
    const std::string& name() const noexcept;

    struct state;

   private:
    friend class worker;
    explicit listener(std::shared_ptr<state>);
    std::shared_ptr<state> state_;
  };
  /// Throws std::invalid_argument naming the listeners there are.
  class listener listener(std::string_view name = "http");

  /// The next connection; empty when the worker is told to leave and nothing is queued any more.
  /// One wakeup a connection however many workers wait (EPOLLEXCLUSIVE): the socket is in this
  /// worker's epoll set only while an accept is awaited. EMFILE and the like are waited out.
  boost::asio::awaitable<std::optional<connection>> accept(class listener&);

  /// Gives a connection to another worker of the pool, which gets it from accept() on the listener
  /// of that name as if it were new. Only for one of which nothing is consumed that is not
  /// answered: between two requests, and without TLS or any other state of its own. True: it is
  /// gone. False: it was not taken, and stays. Suspends while more wait to be taken than the kernel
  /// holds; cancelled, the connection stays.
  boost::asio::awaitable<bool> hand_over(class listener&, connection&);
  /// Waits, between two requests, for the client's next; when the worker is told to leave, hands
  /// the connection over (see there) if others of the pool stay. If none does, it waits for
  /// `patience` from then on, so that a request that is under way is answered, but no longer than
  /// the worker has. Nothing is read.
  boost::asio::awaitable<idle_end> idle(
      class listener&, connection&, std::chrono::nanoseconds patience = std::chrono::seconds(5));
  /// Whether an answer may promise to keep its connection. False: the worker is to leave, and
  /// nobody would take the connection: say `Connection: close`.
  bool keeps_connections() const noexcept;

  /// Runs `task` beside the worker function; awaited before the worker leaves. An exception ends
  /// only that task, with a line on stderr.
  void spawn(boost::asio::awaitable<void> task);

  /// Tells the supervisor that this worker serves.
  void ready();
  /// One line of status, shown by `prefork status`.
  void status(std::string_view text);
  /// Tells the supervisor that this worker reads its settings anew, and serves meanwhile; ready()
  /// ends it.
  void reloading();
  /// Has the supervisor keep a descriptor of the same open file for the workers that come after
  /// this one in its slot; what is kept already is not kept twice. Unless `polled` is false, it is
  /// kept until its other side is gone (EPOLLHUP, EPOLLERR; of a pipe too that is not empty). A
  /// name is up to 255 printable characters but ':'; else std::invalid_argument is thrown, and
  /// system_error where there is no such descriptor.
  void store(std::string_view name, int descriptor, bool polled = true);
  /// Has it forget all of that name.
  void unstore(std::string_view name);
  /// The first of that name that workers before this one had stored, and that was not asked for
  /// yet: the caller's to close from now on. The supervisor keeps its own.
  std::optional<int> stored(std::string_view name);
  /// A sign of life, for probe::heartbeat(); without such a probe it is passed over.
  void heartbeat();
  /// Asks the supervisor for a fresh worker in place of this one, which serves until that is ready.
  void recycle();

  /// True once the worker is told to leave.
  bool draining() const noexcept;
  /// When a worker that is told to leave will be killed; never: it will not, or that is not known.
  time_point leave_by() const noexcept;
  /// Asks the supervisor for so much time from now on, to boot or to leave: EXTEND_TIMEOUT_USEC of
  /// sd_notify(3). Less than is left changes nothing; a stop that is to be quick grants none.
  void extend(std::chrono::nanoseconds);
  /// Completes when the worker is told to leave; at once where it was.
  boost::asio::awaitable<void> stopping();

  /// While one lives, a request is in flight: counted, shown with its text ("GET /slow") by
  /// `prefork status -o wide` and, if the worker dies in it, in its last report. With a hang or a
  /// request timeout the supervisor watches. The text is copied, and cut at 119 bytes. Costs some
  /// nanoseconds, and no system call while requests follow each other. For the worker's own thread.
  class request {
   public:
    /// `activity` says what it is.
    explicit request(worker&, std::string_view activity = {}) noexcept;
    ~request();
    request(const request&) = delete;

   private:
    impl& worker_;
    // In the order in which they began, and the note that holds this one's text.
    request* before_;
    request* after_ = nullptr;
    std::int64_t since_;
    std::uint32_t note_;
  };
  std::uint64_t requests() const noexcept;  ///< requests begun, this process

  /// Signals of the worker's own; TERM, QUIT and INT are the kit's. USR1 is ignored unless handled.
  signal_dispatcher& signals() noexcept;

 private:
  std::unique_ptr<impl> impl_;
};

}  // namespace supervisor
