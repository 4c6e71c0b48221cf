// What a simulated world shows to whoever looks: probes, queues of connections, the sleep of the
// machine.
#pragma once

#include <functional>
#include <map>

#include "host/host.hpp"
#include "simulation/virtual_loop.hpp"
#include "supervisor/simulation.hpp"

namespace supervisor {

class simulated_looks {
 public:
  using done = std::function<void(probe_result)>;
  explicit simulated_looks(virtual_loop& loop) : loop_(loop) {}

  probe_id start(const probe_answer&, done);
  void cancel_probe(probe_id) noexcept;
  std::size_t probes_running() const noexcept { return probes_.size(); }

  unsigned queued() const noexcept { return queued_; }
  void set_queued(unsigned);
  watch_id watch(std::function<void()> readable);
  void cancel_watch(watch_id) noexcept;
  std::size_t watches() const noexcept { return watches_.size(); }
  /// Supervision is gone.
  void crash();

  duration asleep{};

 private:
  void tell_of_queue();

  virtual_loop& loop_;
  std::uint64_t last_ = 0;
  std::map<probe_id, done> probes_;
  std::map<watch_id, std::function<void()>> watches_;
  unsigned queued_ = 0;
};

}  // namespace supervisor
