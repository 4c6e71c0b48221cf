// The kernel's signals, on one asio::signal_set.
#include <bit>
#include <boost/asio/signal_set.hpp>
#include <map>
#include <set>

#include "kernel/descriptors.hpp"
#include "kernel/signal_handlers.hpp"
#include "kernel/signal_mask.hpp"
#include "supervisor/signals.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

/// Asio's completions are edges: its pipe drops what it cannot hold, and every byte becomes a
/// completion of its own. What came, and how often, is what our handler counted.
struct feed_state : std::enable_shared_from_this<feed_state> {
  explicit feed_state(asio::any_io_executor executor) : set(std::move(executor)) {}

  /// Exactly one wait is outstanding while something is watched; none else, so that a loop with
  /// nothing to do can end.
  void arm() {
    if (waiting || watched.empty()) return;
    waiting = true;
    set.async_wait([weak = weak_from_this()](boost::system::error_code, int) {
      auto self = weak.lock();
      if (!self) return;
      self->waiting = false;
      // Last, for whom the signal is meant is first; whatever tell() does, what comes is told.
      struct rearm {
        feed_state& state;
        ~rearm() { state.arm(); }
      } at_end{*self};
      self->tell();
    });
  }

  /// Once a burst: until take(), further completions say nothing new.
  void tell() {
    if (told || !ready || !kernel::pending(numbers)) return;
    told = true;
    auto call = ready;  // it may set another
    (*call)();
  }

  asio::signal_set set;
  std::map<int, struct sigaction> watched;  // with what was there before us
  std::uint64_t numbers = 0;                // the same, as a set
  std::shared_ptr<const std::function<void()>> ready;
  bool waiting = false;
  bool told = false;
};

class kernel_feed final : public signal_feed {
 public:
  explicit kernel_feed(asio::any_io_executor executor)
      : state_(std::make_shared<feed_state>(std::move(executor))) {}
  ~kernel_feed() override {
    state_->ready = nullptr;
    while (!state_->watched.empty()) unwatch(state_->watched.begin()->first);
  }

  void watch(int number) override {
    if (state_->watched.contains(number)) return;
    kernel::blocked_signals between;  // nothing reaches Asio's handler that ours has not counted
    auto before = kernel::disposition(number);
    state_->set.add(number);
    try {
      kernel::catch_signal(number, !interrupting_.contains(number));
    } catch (...) {
      boost::system::error_code ignored;
      state_->set.remove(number, ignored);
      throw;
    }
    state_->watched.emplace(number, before);
    state_->numbers |= kernel::bit_of(number);
    kernel::take_wakeups_lost(number);  // an earlier feed's
    kernel::set_wakeup(number, wakeup_.theirs.get());
    state_->arm();
  }

  void unwatch(int number) override {
    auto found = state_->watched.find(number);
    if (found == state_->watched.end()) return;
    auto before = found->second;
    wakeups_lost_ += kernel::take_wakeups_lost(number);
    state_->watched.erase(found);
    state_->numbers &= ~kernel::bit_of(number);
    remove(number, before);
    if (state_->watched.empty()) state_->set.cancel();
  }

  std::vector<signal_event> take() override {
    state_->told = false;
    std::vector<signal_event> events;
    auto came = kernel::take_pending(state_->numbers);
    for (; came != 0; came &= came - 1) kernel::collect(std::countr_zero(came) + 1, events);
    return events;
  }

  void on_ready(std::function<void()> ready) override {
    state_->ready =
        ready ? std::make_shared<const std::function<void()>>(std::move(ready)) : nullptr;
    state_->told = false;
  }

  void restarts(int number, bool restart) override {
    if (restart)
      interrupting_.erase(number);
    else
      interrupting_.insert(number);
    if (state_->watched.contains(number)) kernel::set_restart(number, restart);
  }

  int wakeup_descriptor() override {
    if (!wakeup_.ours) {
      wakeup_ = kernel::make_wakeup_pipe();
      for (auto& [number, before] : state_->watched)
        kernel::set_wakeup(number, wakeup_.theirs.get());
    }
    return wakeup_.ours.get();
  }

  std::uint64_t wakeups_lost() noexcept override {
    for (auto& [number, before] : state_->watched)
      wakeups_lost_ += kernel::take_wakeups_lost(number);
    return wakeups_lost_;
  }

 private:
  /// Asio resets to SIG_DFL (never to what was there), so a signal must not come in between. Other
  /// threads of the process can still take one there; a supervisor has none.
  void remove(int number, const struct sigaction& before) noexcept {
    kernel::blocked_signals between;
    boost::system::error_code ignored;  // fails only where the number is not in the set
    state_->set.remove(number, ignored);
    kernel::release_signal(number, before);
    kernel::set_wakeup(number, -1);
  }

  std::shared_ptr<feed_state> state_;
  std::set<int> interrupting_;  // not restarting
  kernel::ends wakeup_;         // none until it is asked for
  std::uint64_t wakeups_lost_ = 0;
};

}  // namespace

std::unique_ptr<signal_feed> kernel_signals(asio::any_io_executor executor) {
  return std::make_unique<kernel_feed>(std::move(executor));
}

}  // namespace supervisor
