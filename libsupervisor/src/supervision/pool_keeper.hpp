// One pool: its state, the sequence that keeps it, and the commands that change it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "host/host.hpp"
#include "host/interruptible.hpp"
#include "supervision/awaited.hpp"
#include "supervision/request.hpp"
#include "supervision/slot.hpp"
#include "supervision/state.hpp"
#include "supervisor/condition.hpp"
#include "supervisor/errc.hpp"
#include "supervisor/journal.hpp"
#include "supervisor/supervisor.hpp"
#include "supervisor/task_group.hpp"

namespace supervisor {

/// What the workers of each generation are.
using program_specs = std::map<std::uint64_t, std::shared_ptr<const spec>>;

class pool_keeper : public std::enable_shared_from_this<pool_keeper> {
 public:
  using neighbours = std::function<const pool_state*(std::string_view name)>;
  /// When the groups that the pool is in allow a start that `ahead` others of it come before.
  using turns = std::function<time_point(std::string_view pool, unsigned ahead, time_point now)>;
  /// A pool that begins, or goes on, at `state`, among others. Its coroutines are members of
  /// `group`.
  pool_keeper(host&, journal&, task_group& group, neighbours, turns, pool_state state,
              program_specs specs);
  ~pool_keeper();
  /// Begins to keep the pool: with all its slots, where the state has some.
  void start();
  /// Whoever waits for a command, or gives one, is told that the pool is closed.
  void dismiss() noexcept;
  /// Destroys its coroutines where they stand, and those that wait for a command; the children
  /// live on. For the end of the world: nothing may be called afterwards.
  void abandon();

  const pool_state& state() const noexcept { return state_; }
  const std::string& name() const noexcept { return state_.name; }
  program_specs specs() const;

  // Commands: each is recorded at its call, and can then be waited for.
  awaited resize(unsigned count);
  awaited roll(std::optional<spec> next, rollout_options);
  awaited undo(std::optional<std::uint64_t> generation, rollout_options);
  awaited pause_rollout();
  awaited resume_rollout();
  awaited abort_rollout(std::string why);
  awaited restart(unsigned number);
  awaited drain();
  awaited resume();
  awaited stop(bool quick);
  using settlement = boost::asio::awaitable<outcome>;
  /// Keeps the pool alive.
  settlement when(awaited);
  boost::system::error_code signal(unsigned number, int signal);
  void signal_all(int signal);
  void set_rollouts(rollout_options);
  const rollout_options& rollouts() const noexcept { return rollouts_; }
  /// Answers for a command that was asked for from outside; a member of the pool's group.
  void carry_out(std::shared_ptr<request<outcome>>, settlement);
  bool dismissed() const noexcept { return dismissed_; }
  const boost::asio::any_io_executor& executor() const noexcept { return executor_; }
  /// The report of a child that had departed; journaled with its exit as the cause.
  void reported(const child_key&, std::shared_ptr<const exit_report>);

  // For its slots.
  host& outside() noexcept { return host_; }
  /// The only way to change the state: the event is recorded, and as recorded applied. Returns its
  /// id.
  std::uint64_t transition(event);
  const spec& what(std::uint64_t generation) const { return *programs_.at(generation).what; }
  program_view program(std::uint64_t generation) const;
  /// Once more, after it could not be opened.
  void reopen_program(std::uint64_t generation);
  /// What the pool needs and does not have: "db: ready"; empty: nothing.
  std::string missing() const;
  bool needs(std::string_view pool) const;
  void set_needs(const std::vector<requirement>&);
  /// Another pool has changed.
  void look_around() { changed_->notify(); }
  /// When the pool's budget allows this slot's start.
  time_point turn_of(const slot_state&, time_point now) const;
  /// Workers that wait for nothing but their turn.
  unsigned count_waiting() const;

 private:
  struct program_entry {
    explicit program_entry(std::shared_ptr<const spec> w) : what(std::move(w)) {}
    std::shared_ptr<const spec> what;
    bool asked = false;  ///< the host was, by this keeper
    bool told = false;   ///< that it is open is recorded
  };
  using child_launch = std::pair<std::uint64_t, std::uint64_t>;  ///< slot id, launch

  /// One bake's health check, asked until it says no, or yes at the end.
  struct bake_watch {
    explicit bake_watch(std::uint64_t b) : bake(b) {}
    const std::uint64_t bake;
    interruptible asking;
  };

  boost::asio::awaitable<void> run();
  boost::asio::awaitable<void> keep(slot&);
  void take_in(const event&);
  void departed(const event&);
  void start_slots();
  void wake_slots();
  void tend_programs();
  void open_program(std::uint64_t generation);
  void tend_bake();
  bool poke_one();
  bool look_for_needs();
  bool awaits_reports() const;
  void record_report(departure, std::shared_ptr<const exit_report>);

  using self_ptr = std::shared_ptr<pool_keeper>;
  using test = bool (*)(const pool_state&);
  static settlement when_true(self_ptr, test, bool until_stopped = false);
  awaited begin_rollout(std::uint64_t generation, bool kept, rollout_options);
  static settlement when_rolled(self_ptr, std::uint64_t rollout);
  static boost::asio::awaitable<void> watch(self_ptr, std::shared_ptr<bake_watch>, health_check);
  static settlement when_restarted(self_ptr, std::uint64_t fresh);
  event about_pool(event_kind) const;
  boost::system::error_code send(const slot_state&, int signal);

  host& host_;
  const boost::asio::any_io_executor executor_;  ///< the host's, which may be gone before a handle
  journal& journal_;
  task_group& group_;
  neighbours others_;
  turns turns_;
  pool_state state_;
  std::map<std::uint64_t, program_entry> programs_;
  std::map<std::uint64_t, std::shared_ptr<slot>> slots_;
  std::map<child_launch, std::shared_ptr<const exit_report>> early_reports_;
  rollout_options rollouts_;   ///< unless a command says otherwise
  health_check check_;         ///< of the rollout under way, where a command of ours began it
  std::uint64_t checked_ = 0;  ///< that rollout
  std::shared_ptr<bake_watch> watch_;
  bool poke_owed_ = false;
  bool dismissed_ = false;
  std::optional<condition> changed_;
  std::shared_ptr<void> subscription_;
};

}  // namespace supervisor
