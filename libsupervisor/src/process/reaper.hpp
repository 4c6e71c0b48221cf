// The one owner of all waiting.
#pragma once

#include <boost/system/error_code.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "kernel/pidfd.hpp"
#include "process/held_process.hpp"
#include "process/timer_queue.hpp"
#include "process/watched_fd.hpp"

namespace supervisor {

/// Holds children from birth to burial. A death is told at once, while the zombie still pins its
/// number; when the replacements of all who died together are under way, what is left of each
/// process group is killed; the zombie goes when its owner calls bury(). Never blocks: a traced
/// child that is not reapable yet is told when its tracer lets go.
class reaper {
 public:
  using key = std::uint64_t;  ///< 0 is none
  struct observer {
    std::function<void(exit_status)> died;
    std::function<void(const kernel::obituary&)> reaped;
    std::function<void()> cleared = {};  ///< the rest of its group was killed
  };

  /// `last_wait`: see kernel_host_options. Throws system_error.
  reaper(boost::asio::any_io_executor, timer_queue&, duration last_wait);
  /// Reaps the dead, and for as long those that were sent KILL; leaves the others alone.
  ~reaper();
  reaper(const reaper&) = delete;

  key hold(held_process, observer);
  /// One that nobody has asked for: reaped when it dies and nobody can come any more to hold it.
  /// `gone` is called once it is reaped here.
  void adopt(held_process, std::function<void()> gone = {});
  /// One that is a child of somebody else's, who tells of its end by ended_at() with this place:
  /// died here before, it is `lost` if that does not come.
  key hold_of_another(held_process, std::uint32_t place, observer);
  void ended_at(std::uint32_t place, const kernel::obituary&);
  /// The same as adopt() for those of these children that nobody holds, but what is left of their
  /// process groups lives on. Throws system_error.
  void adopt_strangers(std::vector<pid_t> children);
  /// Called for each of those, once it is reaped.
  void on_stranger(std::function<void()> reaped) { stranger_reaped_ = std::move(reaped); }
  /// For as long as anybody keeps what this gives, a child may be there whose owner has yet to be
  /// told its number, by a mold: an adopted one that dies meanwhile stays, and its status with it.
  std::shared_ptr<void> expect();
  bool is_expecting() const noexcept { return !expected_.expired(); }
  boost::system::error_code signal(key, int number);
  /// The owner has seen the death and collected what it wants: ends the zombie, tells `reaped`.
  void bury(key);
  bool holds(pid_t) const noexcept;
  /// Those of them that it does not hold.
  std::vector<pid_t> strangers(std::vector<pid_t>) const;
  int pidfd(key) const noexcept;  ///< -1 where it is not held
  bool is_of_another(key) const noexcept;

 private:
  struct entry {
    held_process process;
    observer tell;
    bool dead = false;
    bool telling = false;  ///< `died` runs, or the rest of the group is still to be killed
    bool buried = false;   ///< bury() came meanwhile
    bool killed = false;
    bool stranger = false;                       ///< its group is not ours to kill
    bool looking = false;                        ///< it is looked at by the clock
    std::uint32_t others = 0;                    ///< it is another's child: its place
    kernel::obituary last = {};                  ///< of that
    std::optional<kernel::obituary> early = {};  ///< came before it was held
  };

  void look();
  void look_later(key);
  void check(key);
  void on_death(key, const exit_status&);
  void wait_for_end(key);
  void ended(key, const kernel::obituary&);
  void clear_away(key, const exit_status&);
  void clear_later();
  void finish(key);
  void disown(pid_t);
  void bury_strays();

  boost::asio::any_io_executor executor_;
  timer_queue& timers_;
  duration last_wait_;
  watched_fd set_;  ///< of all their pidfds
  std::map<key, entry> entries_;
  std::map<std::uint32_t, kernel::obituary> early_;  ///< ends of who is yet to be held, by place
  std::set<key> strays_;                             ///< of those, the adopted ones
  std::weak_ptr<void> expected_;                     ///< see expect()
  std::vector<std::pair<key, exit_status>> fresh_;   ///< deaths told, and not cleared away
  std::function<void()> stranger_reaped_ = [] {};
  key last_ = 0;
  std::shared_ptr<void> alive_ = std::make_shared<char>();
};

}  // namespace supervisor
