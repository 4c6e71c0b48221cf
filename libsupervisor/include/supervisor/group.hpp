// Children that live and die together: OTP's supervision trees, of processes and coroutines.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "supervisor/restart.hpp"
#include "supervisor/spec.hpp"
#include "supervisor/time.hpp"

namespace supervisor {

class group_keeper;  // src/supervision/group_keeper.hpp
class pool;
struct outcome;
struct group_spec;

/// Whom a group restarts along with a child that has ended.
enum class strategy : std::uint8_t {
  one_for_one,   ///< nobody
  one_for_all,   ///< all the others
  rest_for_one,  ///< those that were started after it
};

/// Whether a group ends by itself, in order, when its significant children have ended by
/// themselves and are not started again.
enum class auto_shutdown : std::uint8_t {
  never,            ///< it does not
  any_significant,  ///< with the first of them
  all_significant,  ///< with the last of them
};

/// How a child of a group has ended.
enum class ending : std::uint8_t {
  normal,    ///< a coroutine returned; a process left with exit 0
  shutdown,  ///< told to: a coroutine was cancelled, a TERM, INT or HUP ended a process, a group
             ///< shut itself down
  abnormal,  ///< any other way
};
/// "abnormal"
std::string_view to_string(ending) noexcept;
/// "one_for_one"
std::string_view to_string(strategy) noexcept;

/// What a coroutine in a group has in its hands.
class group_child {
 public:
  /// For the library's own rooms.
  explicit group_child(std::function<void()> told) : told_(std::move(told)) {}
  /// It has started: the next child may. One that ends before has failed to start.
  void ready() { told_(); }

 private:
  std::function<void()> told_;
};

/// One child of a group. Its name is its own among all pools, coroutines and groups of a
/// supervisor.
struct child_spec {
  /// What a child is.
  enum class kind : std::uint8_t { process, pool, coroutine, group };
  /// A coroutine; it is made anew for each start.
  using coroutine_function = std::function<boost::asio::awaitable<void>(group_child&)>;

  /// One process. How it is restarted is the group's to say, not its spec's.
  static child_spec process(std::string name, spec what);
  /// A pool of workers. Its slots go by the restart policy of `what`; the pool has ended when each
  /// of them has finished or given up, or one escalates.
  static child_spec pool(std::string name, spec what, unsigned size);
  /// A pool that there is already, with the workers it has.
  static child_spec pool(::supervisor::pool there);
  /// A coroutine, which has started when it says so.
  static child_spec coroutine(std::string name, coroutine_function make);
  /// A coroutine, which has started at once.
  template <std::invocable Make>
  static child_spec coroutine(std::string name, Make make) {
    return coroutine(std::move(name), [make = std::move(make)](group_child& self) {
      auto made = make();
      self.ready();
      return made;
    });
  }
  /// A group within the group. It has started when all its children have.
  static child_spec group(std::string name, group_spec what);

  /// Always started again (the default).
  child_spec& permanent() { return of_type(restart_type::permanent); }
  /// Started again when it ended abnormally.
  child_spec& transient() { return of_type(restart_type::transient); }
  /// Never started again, and forgotten when it has ended.
  child_spec& temporary() { return of_type(restart_type::temporary); }
  /// Counts for the group's auto_shutdown; for transient and temporary children.
  child_spec& significant() {
    is_significant = true;
    return *this;
  }
  /// How long a coroutine may take to end once it is cancelled. When that has passed the group goes
  /// on without it, and says so; it is not started again before it has ended. In a quick stop that
  /// is a second at most. The others have the stop ladder of their spec.
  child_spec& shutdown(duration within) {
    stop_within = within;
    return *this;
  }
  /// Called when the group has opened the child's pool: to say how that rolls, say, or to scale it.
  child_spec& opened(std::function<void(::supervisor::pool)> told) {
    on_open = std::move(told);
    return *this;
  }

  std::string name;                                 ///< of the child, and of its pool or group
  kind what = kind::process;                        ///< which of the following counts
  std::shared_ptr<const spec> program;              ///< process, pool: what it runs
  unsigned size = 1;                                ///< pool: its workers
  coroutine_function make;                          ///< coroutine
  std::shared_ptr<const group_spec> children;       ///< group
  restart_type type = restart_type::permanent;      ///< whether the group starts it again
  bool is_significant = false;                      ///< see significant()
  duration stop_within = std::chrono::seconds(30);  ///< coroutine: see shutdown()
  std::function<void(::supervisor::pool)> on_open;  ///< process, pool: see opened()
  bool is_there = false;                            ///< pool: there was one before

 private:
  child_spec(std::string n, kind k) : name(std::move(n)), what(k) {}
  child_spec& of_type(restart_type t) {
    type = t;
    return *this;
  }
};

/// "process"
std::string_view to_string(child_spec::kind) noexcept;

/// What a group is: its children, from left to right, and what becomes of them.
///
///   group_spec(strategy::rest_for_one).intensity(3, 60s)
///       .child(child_spec::process("db", db))
///       .child(child_spec::pool("web", web, 4))
struct group_spec {
  /// Without children.
  explicit group_spec(strategy s = strategy::one_for_one) : restarts(s) {}
  /// So many restarts within `within` are made; with one more the group ends.
  group_spec& intensity(unsigned most, duration within) {
    most_restarts = most;
    period = within;
    return *this;
  }
  /// When it ends by itself.
  group_spec& ends(auto_shutdown when) {
    shutdown = when;
    return *this;
  }
  /// So many starts a second, and so many at once, of all workers in it and in the groups within it
  /// together; each pool's own bound counts as well.
  group_spec& start_at_most(start_rate most) {
    starts = most;
    return *this;
  }
  /// One child more, started after those before and stopped before them.
  group_spec& child(child_spec c) {
    children.push_back(std::move(c));
    return *this;
  }

  strategy restarts;                              ///< whom along with one that ended
  unsigned most_restarts = 5;                     ///< see intensity()
  duration period = std::chrono::seconds(60);     ///< see intensity()
  auto_shutdown shutdown = auto_shutdown::never;  ///< see ends()
  std::optional<start_rate> starts;               ///< see start_at_most(); empty: no bound
  std::vector<child_spec> children;               ///< from left to right
};
/// The first thing wrong with a group, if anything is: "child web: ...", "two children are named
/// web".
std::optional<std::string> find_fault(const group_spec&);

/// One child, as it is now.
struct child_status {
  std::string name;            ///< of the child
  std::string kind;            ///< "process", "pool", "coroutine", "group"
  std::string state;           ///< "waiting", "starting", "running", "stopping", "stopped"
  std::string last_end;        ///< "exit 70 (crash)"; empty where it never ended
  std::uint64_t restarts = 0;  ///< starts after the first
};

/// A group, as it is now.
struct group_status {
  std::string name;                    ///< of the group
  std::string state;                   ///< "starting", "running", "stopping", "stopped"
  std::string strategy;                ///< "one_for_one"
  std::string reason;                  ///< why it stops or has stopped
  std::vector<child_status> children;  ///< from left to right
};

/// A handle to a group; copies mean the same. As with a pool, every command is recorded at its call
/// and returns when it is done, and cancelling one stops the waiting alone. For coroutines on the
/// supervisor's executor.
class group {
 public:
  /// For the library's own rooms: see supervisor::group().
  explicit group(std::shared_ptr<group_keeper>);

  /// By which logs know it.
  const std::string& name() const;
  /// As it is now.
  group_status status() const;

  /// Waits until it rests: all its children run, but for those that have ended for good. Answers
  /// errc::pool_closed, with the reason, where the group ends or has ended.
  boost::asio::awaitable<outcome> settled();
  /// Waits until it has ended. ok: by a command, or by auto_shutdown; errc::degraded: a child did
  /// not start, or the intensity was exceeded.
  boost::asio::awaitable<outcome> ended();
  /// Stops the children from right to left, and the group for good.
  boost::asio::awaitable<outcome> stop();

  /// Adds a child behind the others and starts it; done when it has started. Where it does not, it
  /// is not added.
  boost::asio::awaitable<outcome> start_child(child_spec);
  /// Stops a child; it stays in the group, unless it is temporary. A restart of its siblings that
  /// includes it starts it again.
  boost::asio::awaitable<outcome> stop_child(std::string name);
  /// Starts a child that has stopped or ended.
  boost::asio::awaitable<outcome> restart_child(std::string name);
  /// Forgets a child that has stopped or ended.
  outcome delete_child(std::string name);
  /// Ends the group at once, and those within it, and leaves their processes and pools as they are:
  /// for another group to have them, see child_spec::pool(). A coroutine would be left alone:
  /// errc::invalid_argument where there is one.
  outcome release();

  /// For the library's own rooms and its tests.
  group_keeper& keeper() const { return *keeper_; }

 private:
  std::shared_ptr<group_keeper> keeper_;
};

}  // namespace supervisor
