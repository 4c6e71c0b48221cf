// The supervisor: pools of workers, signals, and the policy that decides.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "supervisor/exit_report.hpp"
#include "supervisor/listener.hpp"
#include "supervisor/rollout.hpp"
#include "supervisor/scoreboard.hpp"
#include "supervisor/signals.hpp"
#include "supervisor/spec.hpp"
#include "supervisor/time.hpp"
#include "supervisor/version.hpp"

namespace boost::asio {
template <typename... Signatures>
class any_completion_handler;
}

namespace supervisor {

class host;
class journal;
class worker;
class pool_keeper;       // src/supervision/pool_keeper.hpp
class group;             // supervisor/group.hpp
struct group_spec;       // supervisor/group.hpp
struct group_state;      // src/supervision/group_state.hpp
struct pool_state;       // src/supervision/state.hpp
struct foundation;       // src/host/foundation.hpp
struct library_options;  // supervisor/library.hpp

/// One row of a status: a slot, or during a rollout both of a slot's workers.
struct slot_status {
  unsigned slot = 0;  ///< its number, from 0
  pid_t pid = 0;      ///< 0 where none lives
  /// "starting", "ready", "backing off", "stopping", "waiting", "finished", "given up"
  std::string state;
  std::string detail;               ///< "next start in 7 s, exit 70"; the worker's own STATUS=
  std::uint64_t generation = 0;     ///< of its worker
  std::uint64_t restarts = 0;       ///< starts after the first
  duration uptime{};                ///< of its worker
  std::string last_exit;            ///< "exit 70 (crash)"; empty where there was none
  bool ready = false;               ///< its worker serves
  bool reloading = false;           ///< its worker says that it reads its settings anew
  std::optional<scoreboard> work;   ///< of a function worker that lives
  std::vector<std::string> stored;  ///< names of descriptors that its workers have had stored
};

/// A pool, as it is now.
struct pool_status {
  std::string name;                       ///< of the pool
  unsigned target = 0;                    ///< workers wanted
  unsigned ready = 0;                     ///< workers that serve
  unsigned finished = 0;                  ///< workers that have done what they were for
  std::uint64_t generation = 0;           ///< what new workers are of
  bool rolling = false;                   ///< a rollout is under way
  bool drained = false;                   ///< all workers were told to leave: see pool::drain()
  std::vector<slot_status> slots;         ///< in the order of their numbers
  std::optional<rollout_status> rollout;  ///< the one under way
  std::vector<rollout_record> history;    ///< the last 20 at most, the latest at the end
  std::vector<std::uint64_t> kept;        ///< generations that undo() can go back to, latest first
};

/// What became of a command to a pool, told when it has settled.
struct outcome {
  bool ok = true;                   ///< it was done
  boost::system::error_code error;  ///< errc::rolled_back, errc::superseded, errc::pool_closed, ...
  std::string reason;               ///< for people; empty where ok
};

/// A handle to a pool; copies mean the same pool. Every command is recorded at its call, before
/// the first suspension, so calls that come together all count; each returns when the pool has
/// settled: every wanted worker is ready, backing off or at rest, and none is leaving. Cancelling a
/// command stops the waiting, not the change.
///
/// What returns an awaitable, and what tells how the pool stands, is for coroutines on the
/// supervisor's own executor (asserted). Every async_ method may be called by any thread, with any
/// completion token; its handler is called by the handler's own executor, by the supervisor's where
/// it has none. Cancellation (terminal, partial) and the end of the supervisor answer with
/// operation_aborted or errc::pool_closed. Who calls them includes supervisor/library.hpp.
class pool {
  template <typename... Results>
  using handler = boost::asio::any_completion_handler<void(Results...)>;
  using command = std::function<boost::asio::awaitable<outcome>(pool&)>;

 public:
  /// For the library's own rooms: see supervisor::pool().
  explicit pool(std::shared_ptr<pool_keeper>);

  /// By which commands and logs know it.
  const std::string& name() const;
  unsigned size() const;   ///< the target
  unsigned ready() const;  ///< workers that are ready now
  /// What its new workers are: the spec that it was made with, or that it rolls or has rolled to.
  /// The reference ends with the next rollout and the next needs().
  const spec& what() const;
  /// As it is now.
  pool_status status() const;

  /// Keeps `count` workers from now on: adds slots at the end, or retires the oldest first. More
  /// than most_workers is errc::invalid_argument.
  boost::asio::awaitable<outcome> resize(unsigned count);
  /// Rolls to a new generation of the same spec: new code on disk is picked up. It goes by
  /// rollouts(): unless that says otherwise one worker at a time, and the new one is ready before
  /// the old one is told to leave. A new worker that fails puts the old generation back everywhere:
  /// errc::rolled_back, with the reason slot by slot. See doc/rollout.md.
  boost::asio::awaitable<outcome> roll();
  /// The same, in another way this time; a fault in the options is errc::invalid_argument.
  boost::asio::awaitable<outcome> roll(rollout_options);
  /// To another spec, in the same way.
  boost::asio::awaitable<outcome> roll(spec next);
  /// To another spec, in another way this time.
  boost::asio::awaitable<outcome> roll(spec next, rollout_options);
  /// How roll() and undo() go from now on. Throws std::invalid_argument with find_fault()'s words.
  /// It is the policy's: to be said again by one that takes the pool over, whose rollout waits for
  /// its health check until then.
  void rollouts(rollout_options);
  /// How they go.
  const rollout_options& rollouts() const;
  /// From now on its workers, of whatever generation, are started only while these are so; those
  /// that run are left alone. Throws std::invalid_argument with find_fault()'s words. A circle is
  /// not looked for: pools that need one another wait until one of them is told otherwise.
  void needs(std::vector<requirement>);
  /// Nothing new begins, no worker takes another's place, and nothing is committed until it is
  /// resumed; what fails meanwhile is rolled back all the same. Returns at once. Without a rollout:
  /// errc::no_rollout.
  boost::asio::awaitable<outcome> pause_rollout();
  /// Ends pause_rollout(); returns as roll() does.
  boost::asio::awaitable<outcome> resume_rollout();
  /// Puts the old generation back; roll() ends with errc::rolled_back and the reason.
  boost::asio::awaitable<outcome> abort_rollout(std::string why = {});
  /// Rolls back to the generation that was committed before, or to another one of status().kept:
  /// its program as it was then, by rollouts(). Of a rollout under way it is the abort. Where that
  /// one is not kept: errc::not_kept, and which are.
  boost::asio::awaitable<outcome> undo(std::optional<std::uint64_t> generation = {});
  /// The same, in another way this time.
  boost::asio::awaitable<outcome> undo(std::optional<std::uint64_t> generation, rollout_options);
  /// Replaces one slot's worker: the fresh one is ready before the old one leaves. Starts one anew
  /// where the slot has finished or given up.
  boost::asio::awaitable<outcome> restart(unsigned slot);
  /// Sends a signal to one slot's worker, or to all.
  boost::system::error_code signal(unsigned slot, int number);
  /// Sends a signal to every worker there is.
  void signal_all(int number);
  /// Looks once at one slot's worker, its placeholders filled in: for a policy that decides by it.
  /// Where there is no such worker, that is the answer. See supervisor::check().
  boost::asio::awaitable<probe_result> check(unsigned slot, probe) const;
  /// All workers leave; the pool and the listeners stay. resume(), resize() and roll() end it.
  boost::asio::awaitable<outcome> drain();
  /// Ends drain(). Slots that have finished or given up start again.
  boost::asio::awaitable<outcome> resume();
  /// All workers leave by the stop ladder, for good; `quick`: each step of the ladder waits a
  /// second at most. A quick stop hastens a running one. A stopped pool gives its name back.
  boost::asio::awaitable<outcome> stop(bool quick = false);
  /// Waits until the pool is settled.
  boost::asio::awaitable<outcome> settled();

  /// resize() from any thread.
  template <boost::asio::completion_token_for<void(outcome)> Token>
  auto async_resize(unsigned count, Token&& token) const;
  /// roll() from any thread.
  template <boost::asio::completion_token_for<void(outcome)> Token>
  auto async_roll(Token&& token) const;
  /// roll() from any thread.
  template <boost::asio::completion_token_for<void(outcome)> Token>
  auto async_roll(spec next, Token&& token) const;
  /// roll() from any thread.
  template <boost::asio::completion_token_for<void(outcome)> Token>
  auto async_roll(rollout_options how, Token&& token) const;
  /// roll() from any thread.
  template <boost::asio::completion_token_for<void(outcome)> Token>
  auto async_roll(spec next, rollout_options how, Token&& token) const;
  /// pause_rollout() from any thread.
  template <boost::asio::completion_token_for<void(outcome)> Token>
  auto async_pause_rollout(Token&& token) const;
  /// resume_rollout() from any thread.
  template <boost::asio::completion_token_for<void(outcome)> Token>
  auto async_resume_rollout(Token&& token) const;
  /// abort_rollout() from any thread.
  template <boost::asio::completion_token_for<void(outcome)> Token>
  auto async_abort_rollout(std::string why, Token&& token) const;
  /// undo() from any thread.
  template <boost::asio::completion_token_for<void(outcome)> Token>
  auto async_undo(std::optional<std::uint64_t> generation, Token&& token) const;
  /// restart() from any thread.
  template <boost::asio::completion_token_for<void(outcome)> Token>
  auto async_restart(unsigned slot, Token&& token) const;
  /// drain() from any thread.
  template <boost::asio::completion_token_for<void(outcome)> Token>
  auto async_drain(Token&& token) const;
  /// resume() from any thread.
  template <boost::asio::completion_token_for<void(outcome)> Token>
  auto async_resume(Token&& token) const;
  /// stop() from any thread.
  template <boost::asio::completion_token_for<void(outcome)> Token>
  auto async_stop(bool quick, Token&& token) const;
  /// settled() from any thread.
  template <boost::asio::completion_token_for<void(outcome)> Token>
  auto async_settled(Token&& token) const;
  /// signal() from any thread.
  template <boost::asio::completion_token_for<void(boost::system::error_code)> Token>
  auto async_signal(unsigned slot, int number, Token&& token) const;
  /// How the pool stands; where its supervisor is gone, nothing but its name.
  template <boost::asio::completion_token_for<void(pool_status)> Token>
  auto async_status(Token&& token) const;

  /// For the library's own rooms and its tests.
  pool_keeper& keeper() const { return *keeper_; }

 private:
  template <typename Token>
  auto async(command what, std::remove_reference_t<Token>& token) const;
  pool_keeper& here() const;  ///< for the loop only
  void ask(command, handler<outcome>) const;
  void ask_signal(unsigned slot, int number, handler<boost::system::error_code>) const;
  void ask_status(handler<pool_status>) const;

  std::shared_ptr<pool_keeper> keeper_;
};

/// What a policy has in its hands. As with a pool, methods are for its own executor, but for those
/// that begin with async_.
class supervisor {
  template <typename... Results>
  using handler = boost::asio::any_completion_handler<void(Results...)>;

 public:
  /// The library door: inside a program that has an io_context of its own, which any number of
  /// threads may run and which outlives this. Runs on a strand of `executor`; keeps commands only;
  /// leaves the program's signals, limits and children alone. See supervisor/library.hpp and
  /// doc/library.md. Throws system_error: errc::statuses_lost where SIGCHLD is ignored.
  explicit supervisor(boost::asio::any_io_executor executor);
  /// The same, with what it takes from and does to the program.
  supervisor(boost::asio::any_io_executor executor, library_options);
  /// For the library's own rooms: a policy gets one from run().
  supervisor(host&, journal&, std::string name);
  /// Neither waits nor kills: children that live are left alone, which is logged with their pids.
  /// To end them: stop_all() or async_stop() before. Any thread may destroy one of the library door
  /// while no method of it runs; what still waits is answered.
  ~supervisor();
  supervisor(const supervisor&) = delete;

  /// Of this master.
  const std::string& name() const;
  /// Where everything of it runs: for coroutines of one's own beside it. Any thread may ask.
  boost::asio::any_io_executor executor() const;
  /// Opens a listening socket for the workers of pools made, or rolled, later, and returns it as it
  /// was opened: port 0 is the port that the kernel chose. A name that is open already is moved to
  /// the new address; workers that have the old socket keep it. Throws system_error, and has
  /// changed nothing then.
  listener_spec listen(const listener_spec&);
  /// Those that are open, in the order in which they were opened first.
  std::vector<listener_spec> listeners() const;
  /// Workers of pools made, or rolled, later do not get it. The socket itself is closed when the
  /// last generation that has it is gone. A name that is not open is none of our business.
  void close_listener(const std::string& name);
  /// Starts to keep `size` workers of `what`; returns at once. Throws std::invalid_argument with
  /// find_fault()'s words, for a name that is taken, and for more than most_workers; a system_error
  /// of errc::pool_closed when the supervisor is stopping. A name that was adopted is the pool with
  /// the workers it has; its target stays what it was.
  ::supervisor::pool pool(std::string name, spec what, unsigned size);
  /// Goes on with a pool where its written state stands, with the children that live;
  /// `specs` are what the workers of each of its generations are.
  ::supervisor::pool adopt(pool_state state,
                           std::map<std::uint64_t, std::shared_ptr<const spec>> specs);
  /// Goes on with a group where its written state stands, once the policy names it with group():
  /// with its pools, which are adopted before; its coroutines, which died with the supervisor
  /// before, begin anew.
  void adopt(group_state state);
  /// Another supervisor came before this one, in a process that is gone: the pools are as it left
  /// them, and so are their workers.
  bool goes_on() const;
  /// For the library's own rooms: is saved with what this one knows, for the one that goes on.
  void keep_beside(std::string bytes);
  /// What the one before this one has kept so.
  const std::string& kept_beside() const;
  /// Starts the children of a group, from left to right, and keeps them; returns at once. When it
  /// ends by itself, serve() returns as after request_stop(). Throws std::invalid_argument with
  /// find_fault()'s words and for names that are taken; errc::pool_closed as pool().
  ::supervisor::group group(std::string name, group_spec what);
  /// Those that are not stopped, in the order in which they were made.
  std::vector<::supervisor::pool> pools() const;
  /// Each before those within it; a stopped one too, until its name is given again.
  std::vector<::supervisor::group> groups() const;
  /// The pool of that name, if there is one; a stopped one too, until its name is given again.
  std::optional<::supervisor::pool> find_pool(std::string_view name) const;

  /// Dispatches signals to `on` until one of `end` comes, or request_stop(), or the deadline;
  /// returns that signal (a request is TERM, a quick one QUIT; the deadline is number 0). Handlers
  /// that still run are cancelled, and joined before it returns: a command that one has given goes
  /// on, only the waiting for it ends. The stop signal itself is not delivered to a handler.
  boost::asio::awaitable<signal_event> serve(const handlers& on, until end,
                                             time_point deadline = never);
  /// For handlers of one's own beside serve()'s.
  signal_dispatcher& signals();
  /// `fallback` is called for INT, QUIT and TERM while the policy neither handles them nor waits
  /// for them; without one they are kept until it does. supervisor::run cancels the policy. From
  /// the second on, everything that is left is killed first.
  void on_interrupt(std::function<void(const signal_event&)> fallback);

  /// On the host's clock.
  boost::asio::awaitable<void> sleep_for(duration);
  /// By the host's clock.
  time_point now() const;
  /// By the clock on the wall, which somebody may set: for what happens at a time of day.
  wall_time wall_now() const;
  /// Random bits; in a simulation from its seed.
  std::uint64_t random() const;
  /// Looks once, as a probe of exec, http or tcp says. No answer within its timeout is a failure,
  /// unless the supervisor itself was stopped, starved or asleep meanwhile: then it looks again.
  boost::asio::awaitable<probe_result> check(probe) const;
  /// Runs a coroutine beside the policy; joined before the supervisor ends, cancelled first. While
  /// it is ending, one more is cancelled at its first suspension. A simulation calls it `name`.
  void spawn(boost::asio::awaitable<void>, std::string_view name = "a spawned coroutine");
  /// Where every step is recorded; see journal::subscribe().
  journal& log();
  /// Writes a policy's own words into the journal.
  void note(std::string text);

  /// Asks serve() to return as if a stop signal had come (the control socket's `stop`).
  void request_stop(bool quick = false);
  /// True from request_stop() on, or from stop_all() on.
  bool stop_requested() const;
  /// Says that stop_all() will follow, where the policy serves on until then: a service manager is
  /// told at once that a stop has begun, and to wait for so long.
  void announce_stop(time_point serves_until);
  /// Stops every pool by its ladder and joins what was spawned, shielded from cancellation. INT,
  /// QUIT or request_stop(true) meanwhile make it quick; where it is that, or on_interrupt() was
  /// called before, they kill what is left. Called for a policy that returned, threw, or was
  /// cancelled; a second call waits for the same. Not from a handler or a spawned coroutine, for
  /// which it would wait: those call request_stop().
  boost::asio::awaitable<void> stop_all(bool quick = false);

  /// Has this program replaced, while everything that it keeps goes on, by what is in its place on
  /// disk now: doc/keeper.md. Recorded at the call. Where that goes well this process ends and
  /// another is there instead; so what it completes with is why it did not. errc::rolled_back: it
  /// was tried; errc::upgrading, errc::no_keeper, errc::pool_closed: it was not.
  boost::asio::awaitable<outcome> upgrade();
  /// That is under way.
  bool upgrading() const;

  /// stop_all() from any thread. Cancelled, only the waiting ends.
  template <boost::asio::completion_token_for<void(boost::system::error_code)> Token>
  auto async_stop(bool quick, Token&& token);
  /// pool() from any thread: completes when the pool is there, not when it is settled. The
  /// exception is pool()'s; the handle is then to no pool, and may only be assigned to or dropped.
  template <boost::asio::completion_token_for<void(std::exception_ptr, ::supervisor::pool)> Token>
  auto async_pool(std::string name, spec what, unsigned size, Token&& token);
  /// listen() from any thread; the exception is its own.
  template <boost::asio::completion_token_for<void(std::exception_ptr, listener_spec)> Token>
  auto async_listen(listener_spec wanted, Token&& token);
  /// How every pool stands; from any thread.
  template <boost::asio::completion_token_for<void(std::vector<pool_status>)> Token>
  auto async_status(Token&& token);

 private:
  explicit supervisor(std::unique_ptr<foundation>);
  void ask_stop(bool quick, handler<boost::system::error_code>);
  void ask_pool(std::string name, spec what, unsigned size,
                handler<std::exception_ptr, ::supervisor::pool>);
  void ask_listen(listener_spec, handler<std::exception_ptr, listener_spec>);
  void ask_status(handler<std::vector<pool_status>>);

  struct impl;
  impl& here() const;  ///< for the loop only
  std::shared_ptr<impl> impl_;
};

/// A policy decides; what it returns is the exit code.
using policy = std::function<boost::asio::awaitable<int>(supervisor&)>;

/// A worker as a coroutine of the user's program; it runs in processes of its own. What the
/// coroutine returns is the exit code, 0 where it returns nothing; an exception that leaves it or
/// after_clone is exit 70, and its words are in the exit report.
///
///   worker_function("web", serve).preload(load_tables).after_clone(reopen).before_exit(flush)
struct worker_function {
  /// What a worker runs; its value is the exit code.
  using coroutine = std::function<boost::asio::awaitable<int>(worker&)>;
  /// What a worker runs; the exit code is 0.
  using coroutine_of_nothing = std::function<boost::asio::awaitable<void>(worker&)>;
  /// What a worker runs at a moment of its life.
  using hook = std::function<void(worker&)>;

  /// `n` is what a spec asks for.
  worker_function(std::string n, coroutine f) : name(std::move(n)), serve(std::move(f)) {}
  /// `n` is what a spec asks for.
  worker_function(std::string n, coroutine_of_nothing f);
  /// With preload() at once.
  template <typename Coroutine>
  worker_function(std::string n, std::function<void()> preload_first, Coroutine f)
      : worker_function(std::move(n), std::move(f)) {
    on_preload = std::move(preload_first);
  }

  /// Runs once in the mold, before any worker is forked: what it loads is shared. It may start no
  /// thread: the mold then refuses.
  worker_function& preload(std::function<void()> f) & {
    on_preload = std::move(f);
    return *this;
  }
  /// The same, of a temporary.
  worker_function&& preload(std::function<void()> f) && { return std::move(preload(std::move(f))); }
  /// Runs first in each worker, before its coroutine: reseeds, reopens, starts threads.
  worker_function& after_clone(hook f) & {
    on_clone = std::move(f);
    return *this;
  }
  /// The same, of a temporary.
  worker_function&& after_clone(hook f) && { return std::move(after_clone(std::move(f))); }
  /// Runs last in each worker, when all it spawned has ended; an exception is told, and changes
  /// nothing. A worker that is killed does not come to it.
  worker_function& before_exit(hook f) & {
    on_exit = std::move(f);
    return *this;
  }
  /// The same, of a temporary.
  worker_function&& before_exit(hook f) && { return std::move(before_exit(std::move(f))); }

  std::string name;                  ///< by which a spec asks for it
  coroutine serve;                   ///< what a worker runs
  std::function<void()> on_preload;  ///< see preload()
  hook on_clone;                     ///< see after_clone()
  hook on_exit;                      ///< see before_exit()
};

}  // namespace supervisor
