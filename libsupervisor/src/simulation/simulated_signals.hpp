// A signal feed whose signals a test sends.
#pragma once

#include <set>

#include "simulation/virtual_loop.hpp"
#include "supervisor/signals.hpp"

namespace supervisor {

class simulated_signals final : public signal_feed {
 public:
  explicit simulated_signals(virtual_loop& loop) : loop_(loop) {}

  void watch(int number) override;
  void unwatch(int number) override { watched_.erase(number); }
  std::vector<signal_event> take() override { return std::exchange(pending_, {}); }
  void on_ready(std::function<void()> ready) override;

  /// A signal that nobody watches is lost.
  void deliver(const signal_event&);
  void crash();

 private:
  void keep(const signal_event&);
  void call_ready();

  virtual_loop& loop_;
  std::set<int> watched_;
  std::vector<signal_event> pending_;
  std::function<void()> ready_;
};

}  // namespace supervisor
