// A loop whose clock goes from deadline to deadline.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "host/host.hpp"
#include "simulation/virtual_executor.hpp"
#include "supervisor/time.hpp"

namespace supervisor {

/// Whose a timer is: supervision's ends with it in a crash, the simulated
/// world's does not.
enum class owner : std::uint8_t { supervision, world };

/// Virtual time. One step is one piece of work; those of one time run in the
/// order in which they were asked for, or in the order `pick` draws.
class virtual_loop {
 public:
  explicit virtual_loop(time_point start);
  ~virtual_loop();

  time_point now() const noexcept { return now_; }
  time_point after(duration d) const noexcept { return later(now_, d); }
  /// The supervisor's; `name` is for people.
  boost::asio::any_io_executor executor(std::string_view name = {});
  boost::asio::execution_context& context() noexcept;
  void post(std::function<void()> work);
  timer_id call_at(time_point, std::function<void()> work, owner);
  void cancel(timer_id);

  bool step();
  std::uint64_t steps() const noexcept { return steps_; }
  /// Steps until nothing is ready. Throws std::logic_error when that never
  /// comes.
  std::size_t settle();
  bool run_until(const std::function<bool()>& done, duration limit);
  void run_for(duration);
  /// The clock moves, and nothing runs; what falls due meanwhile is late.
  void stall(duration);
  /// Drops what is posted and supervision's timers; the world's go on, on a new
  /// executor.
  void crash();

  /// Those on whose behalf something is under way that was begun and not ended:
  /// coroutines, and operations that this loop cannot see. For people.
  std::vector<std::string> busy() const;
  bool is_busy(std::string_view name) const;
  /// Who waits, while nothing is ready, for something that is not the loop's;
  /// empty: nobody.
  std::string waiting_outside();

  /// From n > 0, a number below n; empty: what is ready together keeps its
  /// order.
  std::function<std::uint64_t(std::uint64_t n)> pick;
  /// Called when nothing is ready, before the clock moves.
  std::function<void()> at_rest;

 private:
  class life;
  struct timer {
    time_point when;
    std::function<void()> work;
    owner whose = owner::supervision;
    bool due = false;  ///< posted
  };
  struct ready_job {
    job work;
    executor_home::name_id name;
  };
  using deadline = std::pair<time_point, timer_id>;
  bool advance(time_point end);
  const deadline* next_deadline();
  void drop_deadline();
  bool keep_running_until(const std::function<bool()>& done, time_point end);
  void rest();
  void fall_due();
  void make_due(timer_id id);

  time_point now_;
  timer_id last_ = 0;
  std::uint64_t steps_ = 0;
  std::map<timer_id, timer> timers_;
  std::vector<deadline> deadlines_;  ///< a heap, the next one first; some may be cancelled
  std::deque<ready_job> ready_;
  bool running_ = false;
  boost::asio::io_context memory_{1};
  std::unique_ptr<life> life_;
  std::vector<std::unique_ptr<life>> crashed_;  ///< somebody may still hold their executors
};

}  // namespace supervisor
