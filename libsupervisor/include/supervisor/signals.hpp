// Signals as coroutine handlers.
#pragma once

#include <sys/types.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <concepts>
#include <csignal>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "supervisor/version.hpp"

namespace supervisor {

/// "SIGTERM", "SIGRTMIN+1"; "signal 99" for what has no name.
std::string signal_name(int number);
/// The number of "TERM", "SIGTERM", "term", "RTMIN+1", "15"; nothing where there is none.
std::optional<int> signal_number(std::string_view name) noexcept;

/// HUP, INT, QUIT, TERM: those by which people end a program, and which a shell script traps.
std::vector<int> trap_signals();

/// Blocks every signal in this thread while it lives. A thread inherits the mask of the one that
/// makes it, so threads made meanwhile never take a signal and no call of theirs fails with EINTR:
/// signals are the loop's thread's alone. Faults (SEGV, BUS, FPE, ILL, TRAP, SYS) stay as they are,
/// since they are of the thread that makes them.
class signals_blocked {
 public:
  signals_blocked() noexcept;
  ~signals_blocked();
  signals_blocked(const signals_blocked&) = delete;

 private:
  sigset_t before_;
};

/// One delivery of a signal, or several that came together (`count`): all from the kernel itself
/// (SI_KERNEL: a terminal), or none of them.
struct signal_event {
  int number = 0;  ///< of the signal
  std::uint64_t count =
      1;             ///< deliveries this stands for; the kernel itself merges standard signals
  int code = 0;      ///< si_code: SI_USER, SI_QUEUE, SI_KERNEL, ...
  pid_t sender = 0;  ///< 0 where the kernel sent it
  uid_t uid = 0;     ///< of the sender
  int value = 0;     ///< sigqueue(3)'s value; summed over `count` deliveries of a real-time signal
  std::uint64_t cause = 0;  ///< id of the journal event that recorded it; 0 where none did
};

/// What happens when a signal comes while its handler still runs.
enum class delivery : std::uint8_t {
  coalesce,   ///< one runs, one is remembered; the remembered one carries the count (default)
  queue,      ///< every delivery is handled, one after the other (beyond 1,000 they merge)
  interrupt,  ///< the running handler is cancelled and awaited, then the new one starts
};

/// What runs for a delivery.
using signal_handler = std::function<boost::asio::awaitable<void>(signal_event)>;

/// Where signals come from: the kernel (kernel_signals) or a simulation. Single-threaded use.
class signal_feed {
 public:
  virtual ~signal_feed() = default;
  /// From now on deliveries of `number` are kept for take(), instead of what happened before.
  /// Throws system_error where the kernel refuses (SIGKILL, a bad number).
  virtual void watch(int number) = 0;
  /// The end of watch(): what was there before us is restored.
  virtual void unwatch(int number) = 0;
  /// What came since the last call, one event a signal number and whether it is the kernel's own; a
  /// real-time signal: one a delivery.
  virtual std::vector<signal_event> take() = 0;
  /// `ready` is called from the loop when take() has something; an edge, it may come without cause.
  virtual void on_ready(std::function<void()> ready) = 0;

  // What only the kernel's signals have; a simulation has neither calls nor descriptors.
  /// See signal_dispatcher::restarts().
  virtual void restarts(int, bool) {}
  /// See signal_dispatcher::wakeup_descriptor().
  virtual int wakeup_descriptor() { return -1; }
  /// See signal_dispatcher::wakeups_lost().
  virtual std::uint64_t wakeups_lost() noexcept { return 0; }
};

/// The real source, on one asio::signal_set: SA_SIGINFO over Asio's handler keeps exact counts and
/// the senders, because Asio's completions are edges only (they coalesce, and its pipe is bounded).
/// Several may live in one process, but a signal number belongs to one of them: watch() throws
/// EBUSY for one that another watches.
std::unique_ptr<signal_feed> kernel_signals(boost::asio::any_io_executor);

/// Handlers by signal, as a policy writes them down; given to supervisor::serve().
class handlers {
 public:
  /// One call of operator().
  struct entry {
    int number;              ///< of the signal
    signal_handler handler;  ///< what runs
    delivery mode;           ///< what happens when it still runs
  };
  /// See signal_dispatcher::on().
  handlers& operator()(int number, signal_handler handler, delivery mode = delivery::coalesce);
  /// In the order in which they were written down.
  const std::vector<entry>& entries() const noexcept { return entries_; }

 private:
  std::vector<entry> entries_;
};

/// Signals that end supervisor::serve(): until(SIGINT, SIGTERM).
struct until {
  // No std::initializer_list: g++ 12 compiles none in an expression with co_await.
  /// One or more signal numbers.
  template <std::same_as<int>... Numbers>
  until(int first, Numbers... more) : numbers{first, more...} {}
  std::vector<int> numbers;  ///< of the signals
};

class journal;

/// Delivers signals to coroutine handlers, each signal in a lane of its own: a handler that runs
/// long delays no other signal. Stop signals (INT, QUIT, TERM) are delivered before all others.
/// Runs on one executor, single-threaded; everything it started is joined by close(). From another
/// thread, go through the executor: asio::post(executor, [&] { ... signals.on(...) ... }).
class signal_dispatcher {
  struct impl;

 public:
  /// What the dispatcher tells of: delivered events (returns the journal's id, kept as
  /// signal_event::cause), and the first one of each number that nobody handled.
  struct observer {
    /// Of each event; returns the id it is recorded under.
    std::function<std::uint64_t(const signal_event&)> delivered;
    /// What a handler records in it before its first suspension has signal_event::cause as cause.
    journal* log = nullptr;
    /// Of the first of each number.
    std::function<void(const signal_event&)> unhandled;
    std::function<void(int number, std::exception_ptr)> failed;  ///< a handler threw
  };

  /// `feed` outlives the dispatcher. Handlers that still run at its end go on; who still waits is
  /// never resumed, its coroutine is destroyed.
  signal_dispatcher(boost::asio::any_io_executor, signal_feed& feed);
  /// The same, and tells `observer`.
  signal_dispatcher(boost::asio::any_io_executor, signal_feed& feed, observer);
  ~signal_dispatcher();
  signal_dispatcher(const signal_dispatcher&) = delete;

  /// Ends a handler's registration: no new call; a running one goes on and is joined by close().
  class registration {
   public:
    registration() = default;
    /// What is moved from registers nothing.
    registration(registration&&) noexcept;
    /// Ends the registration that it has.
    registration& operator=(registration&&) noexcept;
    ~registration();
    /// Ends it now.
    void reset() noexcept;

   private:
    friend class signal_dispatcher;
    struct state;
    explicit registration(std::shared_ptr<state>);
    std::shared_ptr<state> state_;
  };

  /// `handler` runs for each delivery of `number`. One handler a signal: a second replaces the
  /// first until it is dropped. The last one dropped restores the disposition from before us.
  [[nodiscard]] registration on(int number, signal_handler handler,
                                delivery mode = delivery::coalesce);
  /// Whether a handler is registered.
  bool handled(int number) const noexcept;

  /// Catches `number` without a handler: what comes is kept for wait() or for a later handler; the
  /// first one that nobody took at once is told as unhandled.
  void watch(int number);

  /// pause(2) and sigwait(3): suspends until one of `numbers` (empty: any caught signal) comes.
  /// They are caught from this call on, as by watch(). A waiter takes precedence over a handler.
  /// Cancellation leaves the signal undelivered.
  boost::asio::awaitable<signal_event> wait(std::vector<int> numbers);

  /// What becomes of `number` while nobody handles it: `fallback` is called from the loop, instead
  /// of the signal being kept. It ends where watch() or wait() names the number.
  void otherwise(int number, std::function<void(const signal_event&)> fallback);
  /// Whether otherwise() is in force for `number`.
  bool falls_back(int number) const noexcept;

  /// siginterrupt(3): whether a blocking call of this program that `number` interrupts goes on
  /// after the handler (SA_RESTART; so from the start) or fails with EINTR. Calls of the library
  /// never fail with EINTR. Holds for as long as the feed does.
  void restarts(int number, bool);

  /// For a loop that is not Asio's: the read end of a pipe, to which each caught signal writes its
  /// number as one byte. Poll it, read it empty, then poll the io_context. It does not block, is
  /// the feed's, and there from the first call on; -1 in a simulation, which poll(2) ignores.
  int wakeup_descriptor();
  /// Bytes that found the pipe full. The signals themselves are never lost.
  std::uint64_t wakeups_lost() const noexcept;

  /// A critical section: while a hold lives nothing is delivered; then everything is. Nestable.
  class hold {
   public:
    /// From here on nothing is delivered.
    explicit hold(signal_dispatcher&);
    /// What is moved from holds nothing.
    hold(hold&&) noexcept;
    hold& operator=(hold&&) = delete;
    ~hold();

   private:
    std::shared_ptr<impl> impl_;
  };

  /// Cancels the handler of `number` that runs, if one does, and waits for its end.
  boost::asio::awaitable<void> cancel(int number);
  /// Waits for the handlers that run now, and those that are remembered.
  boost::asio::awaitable<void> join();
  /// Stops delivery, cancels nothing, waits for the handlers that run.
  boost::asio::awaitable<void> close();

 private:
  std::shared_ptr<impl> impl_;
};

}  // namespace supervisor
