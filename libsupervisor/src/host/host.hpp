// The seam: everything outside. Supervision reaches the world through this and nothing else.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/system/error_code.hpp>
#include <cassert>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "supervisor/exit_report.hpp"
#include "supervisor/listener.hpp"
#include "supervisor/scoreboard.hpp"
#include "supervisor/signals.hpp"
#include "supervisor/spec.hpp"
#include "supervisor/time.hpp"

namespace supervisor {

using timer_id = std::uint64_t;
using probe_id = std::uint64_t;
using watch_id = std::uint64_t;
using listener_names = std::optional<std::vector<std::string>>;  ///< none: of all that are open
using child_id = std::uint64_t;  ///< of one process, never reused by a host; 0 is none

/// Names a child before it exists: launching the same key again yields the child that is there.
/// This is what lets a sequence go on after its state was written and its coroutine destroyed
/// between the making of a child and the bookkeeping.
struct child_key {
  std::string pool;
  std::uint64_t slot_id = 0;
  std::uint64_t launch = 0;  ///< the slot's count of launches
  friend auto operator<=>(const child_key&, const child_key&) = default;
};

/// How a child that is to leave may take its time.
struct leave_terms {
  time_point by = never;     ///< it is killed then
  bool others_stay = false;  ///< other workers of its pool take what it hands over
  friend bool operator==(const leave_terms&, const leave_terms&) = default;
};

struct launch_request {
  child_key key;
  unsigned slot = 0;
  std::uint64_t generation = 0;     ///< an open program of the pool
  std::uint64_t request_limit = 0;  ///< a function worker is `spent` when it has begun so many
};

/// What the host knows of a child. Every change is followed by a call of its observer, from the
/// loop. Facts only grow: pid, then ready, then exited; or failed alone.
struct child_view {
  child_id id = 0;
  child_key key;
  pid_t pid = 0;            ///< 0 until it exists
  bool ready = false;       ///< READY=1 came
  bool stopping = false;    ///< STOPPING=1 came: it leaves by itself
  bool reloading = false;   ///< RELOADING=1 came, and READY=1 has not since
  unsigned reloads = 0;     ///< how often RELOADING=1 came
  bool hung = false;        ///< it was asked for a sign of life and gave none
  bool spent = false;       ///< X_RECYCLE=1 came: it wants a fresh one in its place
  bool overdue = false;     ///< a request of its outlasts the spec's request timeout
  time_point asks_until{};  ///< EXTEND_TIMEOUT_USEC= came: it needs until then
  std::string status;       ///< STATUS=
  /// It never ran, and never will. ECANCELED: through no fault of its program's; it was told to
  /// leave before, or who was to make it was killed.
  std::optional<launch_error> failed;
  std::optional<exit_status> exited;  ///< it is dead; perhaps not yet reaped
  /// With `exited`: the kernel ended it for memory.
  bool out_of_memory = false;
  bool reported = false;  ///< its report was told, and will not be again
  bool over() const noexcept { return failed || exited; }
};

/// A generation of a pool: its program, pinned, and for functions the mold that forks them.
struct program_view {
  bool open = false;
  std::optional<launch_error> failed;
};

class host {
 public:
  using observer = std::function<void()>;
  virtual ~host() = default;

  // Time, chance, and the loop.
  virtual time_point now() const noexcept = 0;
  virtual wall_time wall_now() const noexcept = 0;
  /// How long the machine has been asleep since it booted, which now() does not count.
  virtual duration asleep() const noexcept = 0;
  virtual std::uint64_t random() noexcept = 0;
  virtual boost::asio::any_io_executor executor() noexcept = 0;  ///< orders what is ready
  /// The same for coroutines that have a name, where the host tells them apart: a simulation.
  virtual boost::asio::any_io_executor executor_for(std::string_view) { return executor(); }
  /// Whether the caller is run by it; true where that cannot be told.
  virtual bool in_loop() const noexcept { return true; }
  /// Runs `work` from the loop once `when` has come, unless cancelled before.
  virtual timer_id call_at(time_point when, std::function<void()> work) = 0;
  virtual void cancel(timer_id) noexcept = 0;

  // Listeners. The host owns the sockets.
  /// Opens one; the address it is bound to comes back (port 0 resolved). A name that is open
  /// already means the new one from now on. Throws system_error, and has changed nothing then.
  virtual listener_spec listen(const listener_spec&) = 0;
  virtual std::vector<listener_spec> listeners() const = 0;
  /// Programs that are open have it until they are closed; those opened from now on do not.
  virtual void close_listener(const std::string& name) = 0;
  /// The files of all that are open, before an end that runs no destructor.
  virtual void remove_listener_files() noexcept {}
  /// The same: kills the children that are not this process's own, and all that descends from them.
  virtual void end_strangers() noexcept {}

  /// Connections that wait to be accepted on the listeners of these names.
  virtual unsigned queued(const listener_names& listeners) const = 0;
  /// Calls `readable` from the loop, once, when such a connection waits, unless cancelled before.
  virtual watch_id watch_queue(const listener_names& listeners, std::function<void()> readable) = 0;
  virtual void cancel_watch(watch_id) noexcept = 0;

  // Programs: one a pool and generation.
  /// False: commands only.
  virtual bool makes_functions() const noexcept { return true; }
  /// Pins the program of `what` and, for functions, starts its mold. Returns at once; see
  /// program(). Opening what is open changes nothing but the observer.
  virtual void open_program(const std::string& pool, std::uint64_t generation,
                            std::shared_ptr<const spec> what, observer) = 0;
  virtual program_view program(const std::string& pool, std::uint64_t generation) const = 0;
  /// Ends the mold; running workers are untouched.
  virtual void close_program(const std::string& pool, std::uint64_t generation) = 0;

  // Children.
  /// Makes a child. Returns at once; what becomes of it is in look(). Never throws: a failure is
  /// child_view::failed. A key launched before yields that child, with this observer.
  virtual child_id launch(const launch_request&, observer) = 0;
  /// The child launched under this key, if the host still holds it. 0: none.
  virtual child_id find(const child_key&) const = 0;
  /// Valid until forget().
  virtual const child_view& look(child_id) const = 0;
  virtual void watch(child_id, observer) = 0;
  /// What a function worker shows of itself: now, or at its end. Nothing of a command.
  virtual std::optional<scoreboard> sample(child_id) const = 0;
  /// Bytes of PSS of a live child; where that may not be read, of what is its own.
  virtual std::optional<std::uint64_t> memory(child_id) const = 0;
  /// CPU time that a live child has used.
  virtual std::optional<duration> cpu_time(child_id) const = 0;
  /// Sends a signal by pidfd; to a child that is over or not there yet: ESRCH.
  virtual boost::system::error_code signal(child_id, int number) = 0;
  /// A child is ready: what listeners have of its own may be sent its way, until tell_terms().
  virtual void serves(child_id) noexcept = 0;
  /// Tells a child how it may leave: before it is told to, and whenever that changes.
  virtual void tell_terms(child_id, const leave_terms&) noexcept = 0;
  /// Asks a ready worker to accept until the queue is empty: a connection whose wakeup went to a
  /// worker that left must not wait for the next one.
  virtual void poke(child_id) noexcept = 0;
  /// Looks once at a child (0: at none) as the probe says, for as long as it takes: no timeout is
  /// kept here. Calls `done` from the loop, once, unless cancelled before.
  virtual probe_id start_probe(child_id, const probe&, std::function<void(probe_result)> done) = 0;
  virtual void cancel_probe(probe_id) noexcept = 0;
  /// The caller is done with the child. One that lives goes on living until it is found or
  /// signalled no more; one that is over is reaped and reported by the host in its own time.
  virtual void forget(child_id) = 0;
  /// The names of descriptors that workers of a slot have had stored (FDSTORE=1), for those that
  /// come after them: the slot is meant by its number, whoever keeps it.
  virtual std::vector<std::string> stored(const std::string& pool, unsigned slot) const = 0;
  /// Nobody comes after them.
  virtual void drop_stored(const std::string& pool, unsigned slot) = 0;
  /// Called once for each child that is over, when it is reaped and its report is complete.
  using child_reporter = std::function<void(const child_key&, std::shared_ptr<const exit_report>)>;
  virtual void on_report(child_reporter) = 0;

  virtual signal_feed& signals() = 0;

  /// Children that fell to this process, or to one that it goes on from, and were reaped.
  virtual std::uint64_t strangers_reaped() const noexcept { return 0; }

  // What outlives this process.
  /// Somebody goes on from what is saved, should this process die.
  virtual bool is_kept() const noexcept { return false; }
  /// Keeps what the supervisor knows, with what the host itself knows, in place of what was saved
  /// before. `stops`: that says so, where the supervisor was told to stop. Throws system_error, and
  /// has changed nothing then.
  virtual void save(const std::string&, [[maybe_unused]] bool stops) {}
  /// Adds to that what has changed since. Nothing is lost of it from here on, however soon this
  /// process dies.
  virtual void save_change(const std::string&) {}
  /// Calls what on_save_wanted() was given: what is saved is not all any more.
  virtual void want_save() {}
  virtual void on_save_wanted(std::function<void()>) {}
  /// What another process has saved, whose children these are now: all, then what had changed
  /// since; empty: nothing.
  virtual std::vector<std::string> saved() const { return {}; }
  /// That event, and those before it, are in the log; kept beside what is saved.
  virtual void note_logged([[maybe_unused]] std::uint64_t event) noexcept {}
  virtual std::uint64_t last_logged() const noexcept { return 0; }
  /// Of a host that is kept: has its program replaced by what is on disk now. Another process goes
  /// on then; where none can, calls `failed` from the loop, with why.
  virtual void upgrade([[maybe_unused]] std::function<void(std::string)> failed) {}
  /// No child is about to be there of which nobody knows its number yet.
  virtual bool at_rest() const noexcept { return true; }
};

/// find_fault(), and what this host cannot do.
std::optional<std::string> find_fault(const spec&, const host&);

/// Loud, in a debug build, where another thread calls what is for the loop.
inline void expect_loop([[maybe_unused]] const host& outside) {
  assert(outside.in_loop() && "for the supervisor's executor only; elsewhere use async_...");
}

}  // namespace supervisor
