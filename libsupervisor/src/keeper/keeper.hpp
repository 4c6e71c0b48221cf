// The keeper: the main process of a master that is itself kept. It is the master's parent, hands on
// the signals that come for it, holds what must outlive it, starts another when it dies, and ends
// everything when it is over.
//
// So that it never fails itself it does next to nothing: one loop around poll(2), no memory taken
// after its start, no Asio, no exceptions.
#pragma once

#include <csignal>
#include <optional>

#include "keeper/caller.hpp"
#include "keeper/memory.hpp"
#include "keeper/start.hpp"
#include "keeper/store.hpp"
#include "keeper/wire.hpp"
#include "kernel/descent.hpp"
#include "kernel/signal_relay.hpp"
#include "kernel/unique_fd.hpp"
#include "supervisor/time.hpp"

namespace supervisor {

class keeper {
 public:
  keeper(master_process first, master_starter&, kernel::unique_fd signals) noexcept;
  /// Goes on where another program has left, in this process.
  keeper(const keeper_memory& left, int memory, master_starter&,
         kernel::unique_fd signals) noexcept;
  /// Until it is over.
  end_of_master run() noexcept;

 private:
  static time_point now() noexcept;
  static keeper_wire::process_end end_of(const kernel::ended_child&) noexcept;

  void take_in(master_process) noexcept;
  int time_left() const noexcept;
  bool backing_off() const noexcept { return !master_.pid && delayed_; }
  void on_deadline() noexcept;

  void take_signals() noexcept;
  void stop_for_terminal() noexcept;
  void pass_on(const siginfo_t&) noexcept;
  bool relay(const siginfo_t&) noexcept;
  void pass_on_waiting() noexcept;
  void choose_signals() noexcept;
  bool master_takes_signals() const noexcept {
    return master_.pid && !leaving_ && (settled_ || !ever_settled_);
  }

  void reap() noexcept;
  void put(const keeper_wire::record&, kernel::unique_fd) noexcept;
  void on_master_death(const kernel::ended_child&) noexcept;
  void schedule(duration settled_for) noexcept;
  void post_guard() noexcept;
  void dismiss_guard() noexcept;

  void receive() noexcept;
  void heed(const keeper_wire::record&, kernel::unique_fd) noexcept;
  void on_settled() noexcept;
  static bool send(const master_process& to, const keeper_wire::record&, int fd = -1) noexcept;
  bool has_to_tell() const noexcept {
    return tell_go_ || tell_upgraded_ || telling_ < store_.places().size() ||
           strangers_ != told_strangers_;
  }
  void tell() noexcept;

  // See upgrade.cpp.
  void begin_upgrade() noexcept;
  void hear_candidate() noexcept;
  void on_prepared() noexcept;
  void on_candidate_death(const kernel::ended_child&) noexcept;
  void on_candidate_deadline() noexcept;
  void promote_candidate() noexcept;
  void end_candidate(keeper_wire::upgrade_result why) noexcept;
  void end_upgrade(keeper_wire::upgrade_result, const keeper_wire::process_end&) noexcept;
  void go_on_with_trial() noexcept;
  void go_back() noexcept;

  // See renewal.cpp.
  bool may_renew() const noexcept;
  void renew() noexcept;
  int write_and_execute() noexcept;
  void pass_descriptors(bool inherited) noexcept;
  void tell_of_renewal(int error) noexcept;
  void save(keeper_memory&) const noexcept;

  master_starter& starter_;
  kernel::unique_fd signals_;
  master_process master_;
  keeper_store store_;
  unheld_ends unheld_;
  control_caller caller_;
  master_process guard_;  ///< from a master's death until the next has everything

  bool settled_ = false;  ///< this master has everything
  bool ever_settled_ = false;
  bool over_ = false;
  time_point settled_at_{};
  time_point deadline_ = never;  ///< of its start; without one, of the next start
  bool delayed_ = false;         ///< the next start
  unsigned deaths_ = 0;          ///< in a row
  end_of_master last_end_;
  keeper_wire::record last_record_;  ///< of the same
  std::optional<end_of_master> ended_;

  std::uint32_t strangers_ = 0;       ///< reaped that no master has made
  std::uint32_t told_strangers_ = 0;  ///< of which this master knows
  pid_t last_guard_ = 0;              ///< which is our own
  pid_t last_candidate_ = 0;          ///< the same, of one that was killed and not heard to its end
  std::size_t telling_ = 0;           ///< the first place that the master may not know of
  bool tell_go_ = false;

  master_process candidate_;  ///< of a new program; told what is held when the master has left
  time_point candidate_deadline_ = never;
  /// Why the candidate is about to end, where that is known.
  keeper_wire::upgrade_result candidate_fault_ = keeper_wire::upgrade_result::ended;
  int candidate_error_ = 0;
  bool leaving_ = false;          ///< this master was told to
  bool on_trial_ = false;         ///< its program
  bool hung_ = false;             ///< this master, on trial
  bool answered_ = true;          ///< the same, when it was asked last
  keeper_wire::record upgraded_;  ///< the last upgrade
  bool tell_upgraded_ = false;
  std::uint32_t known_layout_ = 0;  ///< of keeper_memory, to the program of this master
  bool renewal_due_ = false;

  kernel::taken_signals taking_ = kernel::taken_signals::all;
  std::optional<siginfo_t> waiting_;  ///< for room in the master's queue
  /// The last that asks a master to stop, and of which no state has known since.
  std::optional<siginfo_t> stop_;
  time_point stop_passed_at_{};
};

}  // namespace supervisor
