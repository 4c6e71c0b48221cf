// A master's reports to the service manager above it, if there is one.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/service_words.hpp"
#include "host/host.hpp"
#include "kernel/service_manager.hpp"
#include "supervisor/run.hpp"

namespace supervisor {

/// A sink of the journal. Costs nothing where nobody listens; with a watchdog it wakes up twice in
/// its interval.
class service_reporter {
 public:
  explicit service_reporter(boost::asio::io_context& context) : context_(context) {}
  ~service_reporter() {
    if (beat_) world_->cancel(*beat_);
  }
  service_reporter(const service_reporter&) = delete;

  /// From now on there is something to tell of.
  void begin(host& world, const supervisor& self) {
    if (!manager_) return;
    world_ = &world;
    self_ = &self;
    interval_ = kernel::watchdog_interval(main_pid());
    if (interval_) beat();
  }

  void see(const event& e) {
    if (!self_) return;
    auto words = said_.tell(e);
    if (!words.empty()) manager_.send(words);
    // Once a turn, when all that belongs to the event has happened; a signal's handler begins a
    // turn after its event.
    if (std::exchange(looking_, true)) return;
    boost::asio::post(context_, [this] { boost::asio::post(context_, [this] { look(); }); });
  }

  /// The manager keeps the sockets a name means, and passes them to who comes after us: FDSTORE=1
  /// in sd_notify(3). The file of a unix socket goes with its master, so these are not kept.
  void keep(const std::string& listener, unsigned place, int socket) {
    if (!manager_) return;
    auto name = "FDNAME=" + kernel::stored_name(listener, place) + '\n';
    manager_.send("FDSTOREREMOVE=1\n" + name);
    if (socket >= 0 && kernel::outlives_us(socket))
      manager_.send("FDSTORE=1\n" + name, {&socket, 1});
  }

 private:
  std::vector<pool_status> pools() const {
    std::vector<pool_status> all;
    for (auto& pool : self_->pools()) all.push_back(pool.status());
    return all;
  }
  void look() {
    looking_ = false;
    auto words = said_.look(pools());
    if (!words.empty()) manager_.send(words);
  }
  void beat() {
    if (serves(said_, pools())) manager_.send("WATCHDOG=1\n");
    beat_ = world_->call_at(later(world_->now(), *interval_ / 2), [this] { beat(); });
  }

  boost::asio::io_context& context_;
  kernel::manager_socket manager_;
  host* world_ = nullptr;
  const supervisor* self_ = nullptr;
  service_words said_;
  bool looking_ = false;
  std::optional<duration> interval_;
  std::optional<timer_id> beat_;
};

}  // namespace supervisor
