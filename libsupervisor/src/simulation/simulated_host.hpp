// A host without an operating system: virtual time, scripted processes, one
// seed.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "host/host.hpp"
#include "simulation/simulated_looks.hpp"
#include "supervisor/simulation.hpp"

namespace supervisor {

class virtual_loop;

using script = process_script;

/// The simulated outside. Not thread-safe; everything runs in poll*() and
/// run_*() on the caller's thread, in the order of its time, and at one time in
/// the order it was asked for.
class simulated_host final : public host {
 public:
  explicit simulated_host(std::uint64_t seed = 1);
  ~simulated_host() override;

  // What the test decides.
  std::function<script(const launch_request&)> on_launch;                    ///< default: script{}
  std::function<program_script(const std::string&, std::uint64_t)> on_open;  ///< default: {}

  /// From now on what is ready at one time runs in an order drawn from the
  /// seed, not in the order in which it was asked for: the world promises none.
  void shuffle();

  // What the test does.
  void send_signal(signal_event);   ///< to the supervisor
  void kill(child_id, int number);  ///< from outside, to a child
  /// Runs everything that is ready, without moving the clock. Returns the
  /// number of steps. Throws std::logic_error when the loop comes to no rest.
  std::size_t poll();
  /// Runs one ready step; false when nothing is ready. For stopping the world
  /// between any two.
  bool poll_one();
  /// Runs until `done` holds, moving the clock from deadline to deadline; false
  /// when `limit` of virtual time has passed, or nothing is left that could
  /// ever happen.
  bool run_until(const std::function<bool()>& done, duration limit = std::chrono::hours(1));
  /// Runs for as long in virtual time; the clock stands at its end afterwards.
  void run_for(duration);
  /// The supervisor's program is gone between two steps: what it had posted,
  /// its timers, observers and handlers are dropped, and executor() is a new
  /// one. Children and programs go on; reports wait for the next on_report().
  /// Call it before the objects of supervision are destroyed.
  void crash();
  /// See simulation.
  void stall(duration);
  void turn_wall_clock(duration ahead);

  /// Connections wait to be accepted, on whatever listener.
  void set_queued(unsigned);
  void suspend(duration);  ///< see simulation
  // Asked whenever supervision looks; by default the script's work, nothing, nothing, and well.
  std::function<std::optional<scoreboard>(child_id)> on_sample;
  std::function<std::optional<std::uint64_t>(child_id)> on_memory;
  std::function<std::optional<duration>(child_id)> on_cpu_time;
  std::function<probe_answer(child_id, const probe&)> on_probe;

  // What the test sees.
  std::size_t looks_running() const noexcept;  ///< probes, and watches of queues
  std::vector<child_id> living() const;        ///< in order of launch
  void each_living(const std::function<void(child_id, const launch_request&)>&) const;
  const launch_request& request(child_id) const;
  std::uint64_t launches() const noexcept;
  std::uint64_t made() const noexcept;  ///< launches that became a process
  /// See simulated_processes.
  std::vector<std::string> leftovers() const;
  virtual_loop& loop() noexcept;
  std::vector<std::pair<child_id, int>> sent;  ///< every signal supervision sent
  std::vector<child_id> poked;
  std::map<child_id, leave_terms> terms;  ///< the last ones of each

  // host
  time_point now() const noexcept override;
  wall_time wall_now() const noexcept override;
  duration asleep() const noexcept override;
  std::uint64_t random() noexcept override;
  boost::asio::any_io_executor executor() noexcept override;
  boost::asio::any_io_executor executor_for(std::string_view name) override;
  timer_id call_at(time_point, std::function<void()>) override;
  void cancel(timer_id) noexcept override;
  listener_spec listen(const listener_spec&) override;
  std::vector<listener_spec> listeners() const override;
  void close_listener(const std::string& name) override;
  unsigned queued(const listener_names&) const override;
  watch_id watch_queue(const listener_names&, std::function<void()>) override;
  void cancel_watch(watch_id) noexcept override;
  void open_program(const std::string&, std::uint64_t, std::shared_ptr<const spec>,
                    observer) override;
  program_view program(const std::string&, std::uint64_t) const override;
  void close_program(const std::string&, std::uint64_t) override;
  child_id launch(const launch_request&, observer) override;
  child_id find(const child_key&) const override;
  const child_view& look(child_id) const override;
  void watch(child_id, observer) override;
  std::optional<scoreboard> sample(child_id) const override;
  std::optional<std::uint64_t> memory(child_id) const override;
  std::optional<duration> cpu_time(child_id) const override;
  probe_id start_probe(child_id, const probe&, std::function<void(probe_result)>) override;
  void cancel_probe(probe_id) noexcept override;
  boost::system::error_code signal(child_id, int) override;
  void serves(child_id) noexcept override {}
  void tell_terms(child_id, const leave_terms&) noexcept override;
  void poke(child_id) noexcept override;
  void forget(child_id) override;
  std::vector<std::string> stored(const std::string& pool, unsigned slot) const override;
  void drop_stored(const std::string& pool, unsigned slot) override;
  void on_report(child_reporter) override;
  signal_feed& signals() override;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace supervisor
