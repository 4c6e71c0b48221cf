// One generation of function workers: a pinned program, and the mold that runs it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "host/host.hpp"
#include "process/activity_cells.hpp"
#include "process/mold.hpp"
#include "process/saved_host.hpp"
#include "process/services.hpp"

namespace supervisor {

/// Keeps one mold alive. The first must become ready, or the program has failed; one that dies
/// later is replaced from the same pinned executable, whatever is on the disk by then. Orders wait
/// while there is none; one that owes an answer for too long counts as dead.
class mold_program : public std::enable_shared_from_this<mold_program> {
 public:
  using done = mold_client::completion;
  using listener_list = std::vector<std::pair<std::string, int>>;
  using relay_list = std::vector<relay>;

  /// `at_rest` is called when the last open order is answered.
  mold_program(process_services&, std::string pool, std::uint64_t generation,
               std::shared_ptr<const spec>, listener_list, relay_list, host::observer changed,
               std::function<void()> at_rest);
  /// What goes wrong is told through view() and `changed`.
  void open();
  /// In place of open(): goes on with what another process has left, a mold at best.
  void go_on(const saved_mold&);
  /// As plain data, with what it needs held.
  saved_mold save();
  /// Ends the mold; every open order fails.
  void close();

  const program_view& view() const noexcept { return view_; }
  void watch(host::observer changed) { changed_ = std::move(changed); }
  /// A mold forks for whoever has started it: such workers are children of our parent's.
  bool forks_for_another() const noexcept { return another_; }
  const std::shared_ptr<activity_cells>& cells() const noexcept { return cells_; }

  /// Has a worker forked. The order's descriptors stay open until `done`.
  void launch(child_id, const mold_order&, done);
  /// Takes an order back that no mold was given yet; false when one has it. `done` is not called.
  bool withdraw(child_id);
  /// A worker was made, or may have been, that its owner could not take: it is reaped when the mold
  /// goes. Its cell is given to nobody else, and from then on says that it takes no connections.
  void expect_stray(std::size_t cell);

 private:
  struct order {
    mold_order what;
    done tell;
    bool given = false;                 ///< to a mold
    std::shared_ptr<void> worker = {};  ///< reaper::expect(), since it was given
  };

  void start();
  mold_client::observer client_observer();
  void let_go() noexcept;
  void drop_mold() noexcept;
  void start_later(bool was_ready);
  void start_again();
  void give(child_id, order&);
  void on_answer(child_id, made_worker, std::optional<launch_error>);
  void expect_answer();
  void on_ready();
  void on_closed();
  void on_died(exit_status);
  void on_gone();
  bool ended_by_others(bool was_ready) const;
  void fail_given_orders(const launch_error&);
  void fail(launch_error);
  void fail_orders(const launch_error&);
  void adopt_strays();
  void retire_stray_cells() noexcept;
  void record_exit();

  process_services& services_;
  std::string pool_;
  std::uint64_t generation_;
  std::shared_ptr<const spec> what_;
  listener_list listeners_;
  relay_list relays_;
  host::observer changed_;
  std::function<void()> at_rest_;
  program_view view_;
  std::shared_ptr<activity_cells> cells_;
  kernel::unique_fd program_;
  saved_mold held_;       ///< of which only the places count
  bool another_ = false;  ///< process has started this mold

  std::unique_ptr<mold_client> client_;
  reaper::key process_ = 0;
  pid_t pid_ = 0;
  std::optional<exit_status> died_;
  std::optional<launch_error> refused_;
  bool ready_ = false;  ///< this mold
  time_point ready_at_{};
  bool closed_ = false;  ///< close() was called
  bool strays_ = false;  ///< this mold may have left a worker that we do not know
  std::vector<std::size_t> stray_cells_;
  unsigned failures_ = 0;
  timer_id retry_ = 0;
  timer_id patience_ = 0;  ///< until its next answer is overdue
  bool hung_ = false;      ///< it was
  std::map<child_id, order> orders_;
};

}  // namespace supervisor
