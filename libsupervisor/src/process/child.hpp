// One child of the host, from launch to report.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "host/host.hpp"
#include "kernel/memory_events.hpp"
#include "process/activity_cells.hpp"
#include "process/command.hpp"
#include "process/mold_program.hpp"
#include "process/notify.hpp"
#include "process/output.hpp"
#include "process/saved_host.hpp"
#include "process/services.hpp"
#include "process/stored_descriptors.hpp"

namespace supervisor {

class child : public std::enable_shared_from_this<child> {
 public:
  using listener_list = mold_program::listener_list;
  using on_over = std::function<void(child&, std::shared_ptr<const exit_report>)>;

  child(process_services&, kernel::memory_events&, stored_descriptors&, std::shared_ptr<const spec>,
        on_over);

  /// Makes what a function worker needs from us before one is wanted. Throws.
  void prepare();
  void become(child_id, const launch_request&, host::observer);
  /// One of these, once, after become(). A failure is in view(), and told from the loop.
  void start_command(const listener_list&, const kernel::credentials&,
                     const kernel::pinned_program*);
  void start_function(std::shared_ptr<mold_program>,
                      std::vector<std::pair<std::size_t, int>> own_listeners);
  void fail(launch_error);

  const child_view& view() const noexcept { return view_; }
  void watch(host::observer changed) { changed_ = std::move(changed); }
  /// To one that waits for its mold, TERM and the like mean that it is not to be made at all.
  boost::system::error_code signal(int number);
  void poke() noexcept;
  void tell_terms(const leave_terms&) noexcept;
  /// Closes what it holds for its own convenience only.
  void spare_descriptors() noexcept;
  bool reported() const noexcept { return view_.reported; }
  std::optional<scoreboard> sample() const;
  unsigned slot() const noexcept { return request_.slot; }
  std::uint64_t generation() const noexcept { return request_.generation; }
  const spec* what() const noexcept { return what_.get(); }
  /// As plain data, with what it needs held; nothing where it does not run.
  std::optional<saved_child> save();
  /// Goes on with one that another process has made, in place of become(). False: there is none.
  bool go_on(const saved_child&, const kernel::credentials& who, std::shared_ptr<mold_program>);
  /// Kills it with its descendants where it is another process's child.
  void end_if_strange() noexcept;
  /// Calls `come` from the loop when it gives a sign of life of this kind, or has given one since
  /// the last such call; one at a time.
  void await_sign(const probe&, std::function<void()> come);
  void forget_sign(const probe&) noexcept;
  /// Whether what prepare() makes is of no age: a log file may be another by the time of the
  /// launch.
  static bool can_wait_prepared(const spec&) noexcept;

 private:
  struct outputs {
    stdio out, err;
  };
  outputs open_outputs();
  void give_stored();
  void begin(held_process);
  void note();
  void hold(held_process);
  void let_go() noexcept;
  void give_cell_back();
  void tell();
  void tell_later();
  void read(std::optional<line_reader>&, kernel::unique_fd, bool is_stderr);

  void on_order(made_worker, std::optional<launch_error>);
  void on_notification(notification&);
  std::size_t most_stored() const noexcept;
  void store(notification&);
  bool read_ready();
  void on_died(exit_status);
  void collect();
  bool output_ended() const noexcept;
  void on_output_ended();
  void on_reaped(const kernel::obituary&);
  void report(const kernel::obituary&);

  struct sign {
    bool given = false;
    std::function<void()> come;
  };
  void expect_signs();
  void on_line(std::string_view);
  void give(const std::string& name);
  void tell_of_sign(const std::string& name);

  // Watch over what is in flight.
  void begin_sampling();
  void look_at_work();
  void look_later(const scoreboard&);

  process_services& services_;
  kernel::memory_events& memory_;
  stored_descriptors& stored_;
  launch_request request_;
  std::shared_ptr<const spec> what_;
  host::observer changed_;
  on_over on_over_;
  child_view view_;
  reaper::key process_ = 0;
  saved_child held_;  ///< of which only the places count; of another's child there is one
  bool killed_by_us_ = false;
  time_point started_{};
  time_point died_at_{};
  timer_id collecting_ = 0;  ///< the deadline for the last output

  std::optional<line_reader> out_, err_;
  tail last_output_;
  /// Its ends of channel, out and err, until its death. A dying process closes its descriptors
  /// first: the last end to go would wake us for nothing, and on the CPU that it needs to die.
  kernel::unique_fd theirs_[3];
  std::optional<notify_server> notify_;
  watched_fd ready_;    ///< where a newline means that it is
  notification early_;  ///< what a worker said before its mold told us of it

  /// Of the probes that wait for one: a heartbeat, which has no name, and lines with a text.
  std::map<std::string, sign> signs_;

  // Of a function worker.
  std::shared_ptr<mold_program> mold_;
  std::shared_ptr<activity_cells> cells_;
  std::optional<std::size_t> cell_;
  timer_id sampling_ = 0;
  time_point asked_ = never;  ///< when the last sign of life was asked for that has not come
  std::optional<scoreboard> last_seen_;  ///< at its end
};

}  // namespace supervisor
