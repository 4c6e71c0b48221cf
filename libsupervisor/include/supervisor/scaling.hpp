// How many workers a pool has: policies that follow the load.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "supervisor/supervisor.hpp"
#include "supervisor/time.hpp"

namespace supervisor {

/// What a scaling policy looks at.
struct load {
  load() = default;
  unsigned workers = 0;  ///< wanted now
  unsigned idle = 0;     ///< ready, and not busy
  unsigned busy = 0;    ///< ready, with a request in flight or a connection open; a command: it has
                        ///< used more than 1 % of a CPU since the last look
  unsigned coming = 0;  ///< wanted, and not ready yet
  unsigned queued = 0;  ///< connections that wait to be accepted
  bool drained = false;  ///< no worker is wanted until the pool is resumed: leave it alone
  bool closed = false;   ///< the pool is stopping: there is nothing to scale any more
  /// "3 busy, 1 idle, 0 coming, 12 waiting"
  std::string str() const;
};

/// Looks at a pool's load, whenever it is asked to; looking costs no worker anything.
class load_meter {
 public:
  explicit load_meter(pool);  ///< of this pool
  load read();                ///< as it is now

 private:
  bool is_busy(std::uint64_t child);

  struct look {
    time_point at;
    duration used{};
  };
  pool pool_;
  std::map<std::uint64_t, look> before_, now_;  ///< of commands, by child
};

/// Completes when a connection waits to be accepted by a worker of this pool: false when `deadline`
/// has passed. Until then nothing wakes the supervisor.
boost::asio::awaitable<bool> connection_waits(pool, time_point deadline = never);

/// Sizes the pool, if that is news, and tells the journal because of what. Waits for nothing.
void resize_for(supervisor&, pool&, const load& seen, unsigned workers);

/// Keeps some workers idle: php-fpm's `pm = dynamic`, Apache's spare servers. While fewer than
/// `min_spare` are idle it adds 1, 2, 4 ... 32 a period; while more than `max_spare` are, it takes
/// one away. Rests, without a timer, while nobody is busy and nothing is to change.
struct spare_workers {
  spare_workers() = default;
  unsigned min_spare = 1;                     ///< fewer idle ones, and some are added
  unsigned max_spare = 3;                     ///< more idle ones, and one is taken away
  unsigned least = 1;                         ///< never fewer workers
  unsigned most = 8;                          ///< never more
  duration period = std::chrono::seconds(1);  ///< from one look to the next
};
/// What goes from one decision to the next.
struct spare_state {
  unsigned rate = 1;  ///< how many may be added next
};
/// How many workers are wanted.
unsigned wanted(const spare_workers&, const load&, spare_state&);

/// Workers while there is work, none at rest: php-fpm's `pm = ondemand`. The first connection waits
/// in the listener's queue until a worker is ready; as many as wait get a worker each.
struct on_demand {
  on_demand() = default;
  unsigned most = 8;                                 ///< never more workers
  duration idle_for = std::chrono::seconds(10);      ///< those that nobody needed for so long leave
  duration period = std::chrono::milliseconds(250);  ///< looks, while there is a worker
};
/// What goes from one decision to the next.
struct demand_state {
  time_point since{};  ///< of the time that `spare` is of
  unsigned spare = 0;  ///< the fewest idle workers in it
};
/// How many workers are wanted.
unsigned wanted(const on_demand&, const load&, time_point now, demand_state&);

/// More workers while connections wait to be accepted, fewer where some were idle for long: for
/// workers in any language. Each time that an added worker is found to have been taken away too
/// early, it takes twice as long until the next is. Rests, without a timer, at `least`.
struct by_backlog {
  by_backlog() = default;
  unsigned depth = 0;                         ///< so many may wait
  unsigned least = 1;                         ///< never fewer workers
  unsigned most = 8;                          ///< never more
  duration calm = std::chrono::seconds(30);   ///< idle for so long, and one is taken away
  duration period = std::chrono::seconds(1);  ///< from one look to the next
};
/// What goes from one decision to the next.
struct backlog_state {
  time_point since{};     ///< of the time that `spare` is of
  unsigned spare = 0;     ///< the fewest idle workers in it
  unsigned patience = 1;  ///< times `calm`
  bool shrunk = false;    ///< the last change took one away
};
/// How many workers are wanted.
unsigned wanted(const by_backlog&, const load&, time_point now, backlog_state&);

/// As many workers as a coroutine says; what it says counts at once where that is more, and where
/// it is less when it has been so for `window`.
struct by_metric {
  /// How many workers there should be, a broken number too; a negative one, or NaN, is no answer.
  using metric = std::function<boost::asio::awaitable<double>()>;
  /// As `m` says.
  explicit by_metric(metric m) : ask(std::move(m)) {}
  metric ask;                                  ///< asked once a period
  unsigned least = 1;                          ///< never fewer workers
  unsigned most = 8;                           ///< never more
  duration window = std::chrono::minutes(5);   ///< the most that was asked for in it counts
  duration period = std::chrono::seconds(10);  ///< from one question to the next
};
/// What goes from one decision to the next.
struct metric_state {
  std::deque<std::pair<time_point, double>> recent;  ///< answers, falling
};
/// How many workers are wanted, where the metric has just said `value`.
unsigned wanted(const by_metric&, const load&, double value, time_point now, metric_state&);

/// Scales a pool until it is cancelled, or the pool stops: for supervisor::spawn(). Periods are
/// spread by a tenth either way, so that many pools do not look in step.
boost::asio::awaitable<void> scale(supervisor& self, pool, spare_workers);
/// The same.
boost::asio::awaitable<void> scale(supervisor& self, pool, on_demand);
/// The same.
boost::asio::awaitable<void> scale(supervisor& self, pool, by_backlog);
/// The same; an exception of the metric's ends it, and is told.
boost::asio::awaitable<void> scale(supervisor& self, pool, by_metric);

}  // namespace supervisor
