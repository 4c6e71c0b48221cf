// The real host.
#pragma once

#include <boost/asio/strand.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernel/memory_events.hpp"
#include "kernel/usage.hpp"
#include "process/child.hpp"
#include "process/command.hpp"
#include "process/kernel_host.hpp"
#include "process/listener_table.hpp"
#include "process/mold_program.hpp"
#include "process/probe_runner.hpp"
#include "process/relays.hpp"
#include "process/saved_host.hpp"
#include "process/saved_memory.hpp"
#include "process/services.hpp"

namespace supervisor {

class kernel_host final : public host {
 public:
  kernel_host(boost::asio::any_io_executor executor, journal& log, kernel_host_options options)
      : services_(std::move(executor), log, std::move(options)),
        memory_(services_.options.memory_events),
        listeners_(std::move(services_.options.inherited), services_.options.on_listener) {
    if (services_.options.store) inherit();
    services_.children.on_stranger([this] { count_stranger(); });
  }
  ~kernel_host() override;

  time_point now() const noexcept override { return steady_now(); }
  wall_time wall_now() const noexcept override {
    return std::chrono::time_point_cast<duration>(std::chrono::system_clock::now());
  }
  std::uint64_t random() noexcept override { return services_.random(); }
  duration asleep() const noexcept override { return kernel::time_asleep(); }
  boost::asio::any_io_executor executor() noexcept override { return services_.executor; }
  bool in_loop() const noexcept override {
    using strand = boost::asio::strand<boost::asio::any_io_executor>;
    auto* ours = services_.executor.target<strand>();
    return !ours || ours->running_in_this_thread();
  }
  bool makes_functions() const noexcept override { return !services_.options.program.empty(); }
  timer_id call_at(time_point when, std::function<void()> work) override {
    return services_.timers.call_at(when, std::move(work));
  }
  void cancel(timer_id id) noexcept override { services_.timers.cancel(id); }

  listener_spec listen(const listener_spec& wanted) override;
  std::vector<listener_spec> listeners() const override { return listeners_.addresses(); }
  void close_listener(const std::string& name) override {
    listeners_.close(name);
    follow_listeners();
  }
  void remove_listener_files() noexcept override { listeners_.remove_files(); }

  void end_strangers() noexcept override;

  unsigned queued(const listener_names& names) const override;
  watch_id watch_queue(const listener_names& names, std::function<void()> readable) override;
  void cancel_watch(watch_id id) noexcept override { queue_watches_.erase(id); }

  void open_program(const std::string& pool, std::uint64_t generation,
                    std::shared_ptr<const spec> what, observer changed) override;
  program_view program(const std::string& pool, std::uint64_t generation) const override;
  void close_program(const std::string& pool, std::uint64_t generation) override;

  child_id launch(const launch_request&, observer) override;
  child_id find(const child_key&) const override;
  const child_view& look(child_id id) const override { return children_.at(id).process->view(); }
  void watch(child_id id, observer changed) override {
    if (auto it = children_.find(id); it != children_.end())
      it->second.process->watch(std::move(changed));
  }
  std::optional<scoreboard> sample(child_id id) const override {
    auto it = children_.find(id);
    return it == children_.end() ? std::nullopt : it->second.process->sample();
  }
  std::optional<std::uint64_t> memory(child_id id) const override;
  std::optional<duration> cpu_time(child_id id) const override;
  probe_id start_probe(child_id, const probe&, std::function<void(probe_result)> done) override;
  void cancel_probe(probe_id) noexcept override;
  boost::system::error_code signal(child_id id, int number) override;
  void serves(child_id) noexcept override;
  void tell_terms(child_id, const leave_terms&) noexcept override;
  void poke(child_id id) noexcept override {
    if (auto it = children_.find(id); it != children_.end()) it->second.process->poke();
  }
  void forget(child_id) override;
  std::vector<std::string> stored(const std::string& pool, unsigned slot) const override;
  void drop_stored(const std::string& pool, unsigned slot) override { stored_.drop(pool, slot); }
  void on_report(
      std::function<void(const child_key&, std::shared_ptr<const exit_report>)> sink) override {
    report_ = std::move(sink);
  }

  signal_feed& signals() override;

  std::uint64_t strangers_reaped() const noexcept override { return strangers_reaped_; }

  bool is_kept() const noexcept override { return services_.options.store != nullptr; }
  void save(const std::string& supervisor, bool stops) override;
  void save_change(const std::string& supervisor) override;
  void note_logged(std::uint64_t event) noexcept override {
    if (saved_) saved_->logged() = event;
  }
  std::uint64_t last_logged() const noexcept override {
    return saved_ ? saved_->logged().load() : 0;
  }
  void want_save() override { services_.save_anew(); }
  void on_save_wanted(std::function<void()> wanted) override {
    services_.save_anew = std::move(wanted);
  }
  std::vector<std::string> saved() const override { return inherited_words_; }
  void upgrade(std::function<void(std::string)> failed) override;
  bool at_rest() const noexcept override;

 private:
  using lease_list = std::vector<std::unique_ptr<shards::lease>>;
  using program_name = std::pair<std::string, std::uint64_t>;  ///< pool and generation
  struct generation {
    std::shared_ptr<const spec> what;
    std::vector<listener_table::named> listeners;
    std::shared_ptr<mold_program> mold;          ///< of functions
    program_view view;                           ///< of a command
    kernel::credentials who;                     ///< of a command
    std::optional<kernel::pinned_program> file;  ///< of a command that could be found
    held_index file_held = 0;
    std::vector<std::shared_ptr<child>> prepared;
    std::size_t to_prepare = 0;
    timer_id preparing = 0;
    const program_view& view_now() const noexcept { return mold ? mold->view() : view; }
  };
  struct held {
    std::shared_ptr<child> process;
    bool forgotten = false;
    lease_list leases;
  };
  struct queue_watch {
    listener_names names;
    std::function<void()> told;
    std::vector<watched_fd> sockets;
  };

  std::vector<watched_fd> watch_sockets(const listener_names&, const std::function<void()>& told);
  void follow_listeners();
  std::vector<relay> relays_of(const std::string& pool, const generation&);
  shards::passer passer_to_workers();
  shards::observer observer_of(const std::shared_ptr<open_listener>&);
  bool others_serve_the_same(const child&) const;
  pid_t pid_of(child_id) const noexcept;
  std::shared_ptr<child> make_child(std::shared_ptr<const spec>);
  std::shared_ptr<child> take_child(generation&);
  void prepare_later(const program_name&);
  void prepare(const program_name&);
  static void open_command(generation&);
  void start(held&, const generation&);
  void watch_descriptors();
  void on_over(child&, std::shared_ptr<const exit_report>);
  void drop(child_id);

  // See kernel_host_saved.cpp.
  void inherit();
  bool go_on(const program_name&, generation&, observer changed);
  void go_on_with_children(const program_name&, generation&);
  lease_list leases_of(const child&, const generation&);
  void end_leftovers();
  void keep(saved_change);
  void count_stranger();

  process_services services_;
  kernel::memory_events memory_;
  stored_descriptors stored_{services_};
  listener_table listeners_;
  std::map<program_name, generation> programs_;
  relays relays_;
  std::map<child_id, held> children_;
  std::map<child_key, child_id> keys_;
  child_id last_ = 0;
  std::map<probe_id, probe_end> probes_;
  std::map<watch_id, queue_watch> queue_watches_;
  std::uint64_t last_look_ = 0;
  std::function<void(const child_key&, std::shared_ptr<const exit_report>)> report_;
  std::unique_ptr<signal_feed> signals_;

  std::uint64_t strangers_reaped_ = 0;
  std::shared_ptr<saved_memory> saved_;
  saved_host inherited_;  ///< by another process; what is taken over is left out
  std::vector<std::string> inherited_words_;  ///< see saved()
  std::vector<pid_t> found_;                  ///< what our parent had when we began
  std::vector<std::shared_ptr<open_listener>> inherited_sockets_;
};

}  // namespace supervisor
