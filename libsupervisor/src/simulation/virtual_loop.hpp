// A loop whose clock goes from deadline to deadline.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/execution_context.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "host/host.hpp"
#include "supervisor/time.hpp"

namespace supervisor {

/// Whose a timer is: supervision's ends with it in a crash, the simulated world's does not.
enum class owner : std::uint8_t { supervision, world };

/// Virtual time over an io_context. One step is one handler; those of one time run in the order in
/// which they were asked for, or, where they fell due together, in the order `pick` draws.
class virtual_loop {
 public:
  explicit virtual_loop(time_point start);
  ~virtual_loop();

  time_point now() const noexcept { return now_; }
  time_point after(duration) const noexcept;  ///< now + duration, or never
  boost::asio::any_io_executor executor() noexcept;
  boost::asio::execution_context& context() noexcept;
  void post(std::function<void()> work);
  timer_id call_at(time_point, std::function<void()> work, owner);
  void cancel(timer_id);

  bool step();
  /// Steps until nothing is ready. Throws std::logic_error when that never comes.
  std::size_t settle();
  bool run_until(const std::function<bool()>& done, duration limit);
  void run_for(duration);
  /// Drops what is posted and supervision's timers; the world's go on, on a new executor.
  void crash();

  /// From n > 0, a number below n; empty: what falls due together keeps its order.
  std::function<std::uint64_t(std::uint64_t n)> pick;

 private:
  struct io;
  struct timer {
    time_point when;
    std::function<void()> work;
    owner whose = owner::supervision;
    bool due = false;  ///< posted
  };
  bool advance(time_point end);
  void make_due(timer_id id);

  time_point now_;
  timer_id last_ = 0;
  std::map<timer_id, timer> timers_;
  std::set<std::pair<time_point, timer_id>> deadlines_;
  std::unique_ptr<io> context_;
  std::vector<std::unique_ptr<io>> crashed_;  ///< somebody may still hold their executors
};

}  // namespace supervisor
