// The processes of a simulated host, and the programs they are made of.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "host/host.hpp"
#include "simulation/virtual_loop.hpp"
#include "supervisor/simulation.hpp"

namespace supervisor {

class simulated_processes {
 public:
  explicit simulated_processes(virtual_loop& loop) : loop_(loop) {}

  // Programs.
  void open(const std::string& pool, std::uint64_t generation, const program_script&,
            host::observer);
  program_view program(const std::string& pool, std::uint64_t generation) const;
  void close(const std::string& pool, std::uint64_t generation);

  // Children.
  child_id launch(const launch_request&, process_script, host::observer);
  child_id find(const child_key&) const;
  const child_view& look(child_id id) const { return children_.at(id).view; }
  void watch(child_id, host::observer);
  void forget(child_id);
  std::vector<std::string> stored(const std::string& pool, unsigned slot) const;
  void drop_stored(const std::string& pool, unsigned slot) { stored_.erase({pool, slot}); }
  std::optional<scoreboard> sample(child_id) const;
  /// In bytes; of one whose script tells of memory.
  std::optional<std::uint64_t> memory(child_id) const;
  /// From whomever. False where it is over, or was never made.
  bool signal(child_id, int number);
  /// One that is not made yet will not be.
  void withdraw(child_id);
  void on_report(host::child_reporter);

  /// Observers and the reporter are gone; children live on.
  void lose_supervisor();

  std::vector<child_id> living() const;
  template <typename F>
  void each_living(F&& look) const {
    for (auto& [id, c] : children_)
      if (c.view.pid && !c.dead) look(id, request(id));
  }
  const launch_request& request(child_id id) const { return requests_.at(id - 1); }
  std::uint64_t launches() const noexcept { return requests_.size(); }
  std::uint64_t made() const noexcept { return made_; }
  /// What is left: children that are not reaped, their own, and programs that
  /// are open; for people.
  std::vector<std::string> leftovers() const;

 private:
  struct child {
    child_view view;
    process_script plan;
    host::observer changed;
    time_point started{};
    time_point ready_at = never;
    time_point drains_at = never;
    bool begun = false;  ///< its program is open, its making has begun
    bool dead = false;   ///< perhaps not yet to be seen
    bool reported = false;
    bool forgotten = false;
  };
  struct opened_program {
    program_view view;
    host::observer changed;
    timer_id opening = 0;
  };
  using program_key = std::pair<std::string, std::uint64_t>;

  timer_id in(duration d, std::function<void()> work);
  void settle(const program_key&, std::optional<launch_error> failed);

  void begin(child_id);
  void start(child_id);
  void fail(child_id, launch_error why);
  void deliver(child_id, int number);
  void drain(child&);
  void die(child_id, exit_status how, bool out_of_memory);
  void over(child&);
  void reap(child_id, const std::shared_ptr<exit_report>&);
  void erase(child_id);
  void send_reports();
  void notify(child_id);
  void reload(child_id);
  void change(child_id, bool child_view::* fact);
  child* living(child_id);
  const child* living(child_id) const;
  std::int64_t memory(const child&) const;
  void count_requests(const child&, scoreboard&) const;

  virtual_loop& loop_;
  std::map<program_key, opened_program> programs_;
  std::map<child_id, child> children_;
  std::map<child_key, child_id> ids_;
  std::map<std::pair<std::string, unsigned>, std::vector<std::string>> stored_;
  std::uint64_t made_ = 0;
  std::deque<launch_request> requests_;  ///< of every child ever; child_id - 1 is the index
  host::child_reporter reported_;
  /// Complete, and not yet told.
  std::deque<std::pair<child_key, std::shared_ptr<const exit_report>>> reports_;
};

}  // namespace supervisor
