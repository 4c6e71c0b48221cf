// One group: its state, the sequence that keeps it, and the commands that change it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "host/host.hpp"
#include "supervision/group_state.hpp"
#include "supervision/pool_keeper.hpp"
#include "supervisor/condition.hpp"
#include "supervisor/group.hpp"
#include "supervisor/journal.hpp"
#include "supervisor/supervisor.hpp"
#include "supervisor/task_group.hpp"

namespace supervisor {

/// What a group may ask of the supervisor that it is in.
struct group_world {
  host& outside;
  journal& log;
  task_group& keeping;  ///< has the groups' own coroutines
  std::function<std::shared_ptr<pool_keeper>(const std::string& name)> find_pool;
  std::function<std::shared_ptr<pool_keeper>(const std::string& name, spec, unsigned size)>
      open_pool;
  /// A group within a group; `told` is called when it changes.
  std::function<std::shared_ptr<group_keeper>(const std::string& name, const group_spec&,
                                              std::function<void()> told)>
      open_group;
  /// The same, of one whose written state is known; null where it is not.
  std::function<std::shared_ptr<group_keeper>(const std::string& name, const group_spec&,
                                              std::function<void()> told)>
      resume_group;
};

/// What a child is now; of an end, how it came about.
struct member_view {
  enum class standing : std::uint8_t { starting, up, ended };
  member_view() = default;
  member_view(standing s) : now(s) {}
  standing now = standing::starting;
  ending how = ending::normal;
  std::string words;
  std::uint64_t cause = 0;  ///< the event that tells of the end, where there is one
};

/// One child, whatever it is. start() and stop() return at once; what becomes of it is in look().
class member {
 public:
  virtual ~member() = default;
  virtual void start() = 0;
  virtual void stop(bool quick) = 0;
  virtual member_view look() = 0;
  /// Goes on where it stood for the supervisor before.
  virtual void resume(const member_state&) = 0;
  /// It will not be started again.
  virtual void close() {}
  /// Whether it, or what is in it, is the pool of that name; and how many workers that could be
  /// started now wait for their turn before its.
  virtual bool holds(std::string_view pool) const = 0;
  virtual unsigned count_waiting(std::string_view before) const = 0;
  /// Null where it is no group.
  virtual group_keeper* subgroup() const { return nullptr; }
};
/// `changed` is called when look() has something new to say.
std::unique_ptr<member> make_member(const child_spec&, const group_world&,
                                    std::function<void()> changed);

class group_keeper : public std::enable_shared_from_this<group_keeper> {
 public:
  /// `told` is called after each of its events.
  group_keeper(const group_world&, group_state, std::vector<child_spec> children,
               std::function<void()> told);
  /// Records its children, and begins to keep them.
  void start();
  /// The same where its state has them already.
  void resume();
  /// Whoever waits for a command, or gives one, is told that it is closed.
  void dismiss() noexcept;
  /// Destroys its coroutines where they stand. For the end of the world.
  void abandon();

  const group_state& state() const noexcept { return state_; }
  group_status status() const;
  /// It has an end to come to.
  bool running() const noexcept { return running_; }
  bool holds(std::string_view pool) const;
  /// When the group's budget allows a start in this pool that `ahead` others of it come before.
  time_point turn_of(std::string_view pool, unsigned ahead, time_point now) const;
  unsigned count_waiting(std::string_view before) const;

  // Commands: each is recorded at its call. Their coroutines keep the group alive.
  using settlement = boost::asio::awaitable<outcome>;
  settlement settled();
  settlement ended();
  settlement stop(bool quick = false);
  settlement start_child(child_spec);
  settlement stop_child(std::string name);
  settlement restart_child(std::string name);
  outcome delete_child(const std::string& name);
  outcome release();
  /// Records that it is to stop, or that its stop is to be quick; nothing where it does already.
  void begin_stop(bool quick = false);

 private:
  boost::asio::awaitable<void> run();
  bool observe();
  void act(const event&);
  duration time_for(const child_spec& coroutine) const;
  bool give_up(const member_state&);
  void add(child_spec);
  void make(child_spec);
  std::optional<child_spec> spec_of(const member_state&) const;
  bool has_coroutines() const;
  void let_go();
  void take_in(const event&);
  time_point next_deadline() const;
  void transition(event);
  outcome closed() const;
  using self_ptr = std::shared_ptr<group_keeper>;
  static settlement when_settled(self_ptr);
  static settlement when_ended(self_ptr);
  static settlement when_down(self_ptr, std::string name);
  static settlement when_tried(self_ptr, std::string name);

  group_world world_;
  group_state state_;
  std::vector<child_spec> first_;  ///< until they are recorded
  std::function<void()> told_;
  std::map<std::string, child_spec, std::less<>> specs_;
  std::map<std::string, std::unique_ptr<member>, std::less<>> members_;
  bool dismissed_ = false;
  bool running_ = false;
  std::optional<condition> changed_;
  std::shared_ptr<void> subscription_;
};

}  // namespace supervisor
