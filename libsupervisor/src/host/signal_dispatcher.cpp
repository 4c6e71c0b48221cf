#include <algorithm>
#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <cassert>
#include <map>
#include <thread>

#include "host/deadline_timer.hpp"
#include "host/signal_backlog.hpp"
#include "supervisor/condition.hpp"
#include "supervisor/journal.hpp"
#include "supervisor/signals.hpp"
#include "supervisor/task_group.hpp"

namespace asio = boost::asio;

namespace supervisor {

struct signal_dispatcher::registration::state {
  std::weak_ptr<signal_dispatcher::impl> owner;
  int number;
  signal_handler handler;
  delivery mode;
};

struct signal_dispatcher::impl : std::enable_shared_from_this<signal_dispatcher::impl> {
  using entry = std::shared_ptr<registration::state>;

  struct lane {
    explicit lane(const asio::any_io_executor& executor)
        : ended(executor), group(executor), own(executor) {}
    bool running() const noexcept { return calling != nullptr; }
    bool callable() const noexcept { return !handlers.empty() && !kept.empty(); }

    std::vector<entry> handlers;  // the last one is in force
    backlog kept;
    std::function<void(const signal_event&)> otherwise;  // in force while not watched
    bool caught = false;
    bool watched = false;  // also without a handler
    bool interrupted = false;
    bool told = false;

    bool falls_back() const noexcept { return otherwise && !watched && handlers.empty(); }
    void fall_back(const signal_event& event) const {
      auto call = otherwise;  // it may set another
      call(event);
    }

    // Its runner is a coroutine that is there for as long as a handler is, because to make one for
    // each call would cost a signal more than all else that we do.
    bool has_runner = false;
    asio::any_completion_handler<void()> resting;  // the runner, while nothing is to be called
    entry calling;                                 // the handler that runs, or is about to
    signal_event reason;                           // what it is called with
    condition ended;                               // a call has
    task_group group;                              // of the runner
    asio::any_io_executor own;                     // the runner's
  };

  struct waiter {
    waiter(std::vector<int> n, const asio::any_io_executor& executor)
        : numbers(std::move(n)), changed(executor) {}
    bool wants(int number) const noexcept {
      return numbers.empty() || std::ranges::find(numbers, number) != numbers.end();
    }
    std::vector<int> numbers;
    std::optional<signal_event> event;
    condition changed;
  };

  impl(asio::any_io_executor e, signal_feed& f, observer o)
      : executor(std::move(e)), feed(&f), watcher(std::move(o)) {}

  /// Whose thread may come here: the loop's, or while that does not run the maker's. Of other
  /// executors than a plain loop's it cannot be told.
  bool on_our_thread() const noexcept {
    auto* loop = executor.target<asio::io_context::executor_type>();
    return !loop || loop->running_in_this_thread() || std::this_thread::get_id() == maker;
  }

  lane& caught_lane(int number) {
    assert(on_our_thread() && "from another thread, post to the dispatcher's executor");
    auto& l = lanes.try_emplace(number, executor).first->second;
    if (!l.caught && feed) {
      feed->watch(number);
      l.caught = true;
    }
    return l;
  }

  void drop(const entry& e) {
    auto& l = lanes.at(e->number);
    std::erase(l.handlers, e);
    if (l.handlers.empty()) wake(l);
    if (l.falls_back() && !l.kept.empty()) deliver_later();
    if (!l.handlers.empty() || l.watched || l.otherwise || !l.caught) return;
    l.caught = false;
    l.kept.clear();
    if (feed) feed->unwatch(e->number);
  }

  /// Takes what came.
  void deliver() {
    if (closed || holds > 0 || !feed) return;
    auto events = feed->take();
    for (bool stop : {true, false})
      for (auto& event : events)
        if (is_stop(event.number) == stop) route(event);
  }

  /// The same, and hands out what was kept and may be handed out now.
  void deliver_all() {
    deliver();
    if (closed || holds > 0) return;
    for (bool stop : {true, false})
      for (auto& [number, l] : lanes)
        if (is_stop(number) == stop) hand_out(number, l);
  }

  void hand_out(int number, lane& l) {
    while (l.handlers.empty() && !l.kept.empty() && waiting_for(number)) to_waiter(l.kept.pop());
    while (!l.kept.empty() && l.falls_back()) l.fall_back(l.kept.pop());
    advance(l);
  }

  void route(signal_event event) {
    auto found = lanes.find(event.number);
    if (found == lanes.end() || !found->second.caught) return;
    auto& l = found->second;
    if (event.cause == 0 && watcher.delivered) event.cause = watcher.delivered(event);
    if (waiting_for(event.number)) return to_waiter(event);
    if (closed) return;  // by a handler of one that came with it
    if (l.falls_back()) return l.fall_back(event);
    if (l.kept.empty() && ready(l)) {
      auto& handler = l.handlers.back();
      bool one = event.count == 1 || is_real_time(event.number);
      if (one || handler->mode != delivery::queue) return call(l, handler, event);
    }
    l.kept.push(event);
    if (l.handlers.empty() && !std::exchange(l.told, true) && watcher.unhandled)
      watcher.unhandled(event);
    if (l.running() && !l.handlers.empty() && l.handlers.back()->mode == delivery::interrupt) {
      l.interrupted = true;
      l.group.cancel();
    }
    advance(l);
  }

  waiter* waiting_for(int number) noexcept {
    if (holds > 0) return nullptr;
    for (auto& w : waiters)
      if (!w->event && w->wants(number)) return w.get();
    return nullptr;
  }

  void to_waiter(const signal_event& event) {
    auto* w = waiting_for(event.number);
    w->event = event;
    w->changed.notify();
  }

  /// Whether its handler could be called now.
  bool ready(const lane& l) const noexcept {
    return !closed && holds == 0 && l.resting && !l.handlers.empty();
  }

  /// Starts the next call of a lane's handler, where there is one to start.
  void advance(lane& l) {
    if (l.kept.empty() || !ready(l)) return;
    auto& handler = l.handlers.back();
    call(l, handler, handler->mode == delivery::queue ? l.kept.pop_one() : l.kept.pop_all());
  }

  /// Returns at the handler's first suspension.
  void call(lane& l, const entry& handler, const signal_event& event) {
    l.calling = handler;
    l.reason = event;
    l.interrupted = false;
    std::optional<journal::because> cause;
    if (watcher.log) cause.emplace(*watcher.log, event.cause);
    if (l.own == executor)
      wake(l);
    else  // a simulation's: at once too, and on the lane's own behalf
      l.own.execute([&l] { wake(l); });
  }

  static void wake(lane& l) {
    if (auto runner = std::move(l.resting)) std::move(runner)();
  }

  /// All calls of a lane's handlers, one after the other. Each has the cancellation state of a
  /// fresh coroutine; none but a call is ever cancelled.
  static asio::awaitable<void> run(std::shared_ptr<impl> self, lane& l) {
    auto rest = [&self, &l](asio::any_completion_handler<void()> runner) {
      l.resting.swap(runner);  // Boost 1.81 moves by assignment into itself, without end
      // From the loop: calls in a row are no recursion, and others get their turn in between.
      if (!l.kept.empty()) self->deliver_later();
    };
    co_await asio::this_coro::throw_if_cancelled(false);
    while (!self->closed && !l.handlers.empty()) {
      co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(rest,
                                                                           asio::use_awaitable);
      if (!l.calling) continue;
      co_await asio::this_coro::reset_cancellation_state();
      co_await asio::this_coro::throw_if_cancelled(true);
      std::exception_ptr error;
      try {
        // l.calling keeps the closure, whose captures the coroutine uses.
        auto call = l.calling->handler(l.reason);
        co_await std::move(call);
      } catch (const boost::system::system_error& e) {
        if (!l.interrupted || e.code() != asio::error::operation_aborted)
          error = std::current_exception();
      } catch (...) {
        error = std::current_exception();
      }
      co_await asio::this_coro::throw_if_cancelled(false);
      // The watcher goes with the dispatcher, which a handler may outlive.
      if (error && self->feed && self->watcher.failed) self->watcher.failed(l.reason.number, error);
      l.calling = nullptr;
      l.ended.notify();
    }
    l.has_runner = false;
  }

  /// What was kept while nobody handled it; a stop signal first.
  std::optional<signal_event> take_kept(const waiter& w) {
    if (closed || holds > 0) return {};
    lane* found = nullptr;
    for (auto& [number, l] : lanes) {
      if (l.kept.empty() || !l.handlers.empty() || !w.wants(number)) continue;
      if (!found || is_stop(number)) found = &l;
      if (is_stop(number)) break;
    }
    return found ? std::optional(found->kept.pop()) : std::nullopt;
  }

  static asio::awaitable<signal_event> wait(std::shared_ptr<impl> self, std::vector<int> numbers) {
    auto* w =
        self->waiters.emplace_back(std::make_unique<waiter>(std::move(numbers), self->executor))
            .get();
    struct leave {
      impl& owner;
      waiter* w;
      ~leave() {
        std::erase_if(owner.waiters, [this](auto& other) { return other.get() == w; });
      }
    } at_end{*self, w};

    w->event = self->take_kept(*w);
    try {
      while (!w->event) co_await w->changed.wait();
    } catch (...) {
      // Cancelled in the same turn of the loop in which it was given one.
      if (w->event) self->give_back(*w->event);
      throw;
    }
    co_return *w->event;
  }

  void give_back(const signal_event& event) {
    lanes.at(event.number).kept.put_back(event);
    deliver_later();
  }

  void deliver_later() {
    asio::post(executor, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->deliver_all();
    });
  }

  asio::awaitable<void> cancel(int number) {
    auto found = lanes.find(number);
    if (found == lanes.end()) co_return;
    auto& l = found->second;
    if (!l.running()) co_return;
    l.interrupted = true;
    l.group.cancel();
    while (l.running()) co_await l.ended.wait();
  }

  asio::awaitable<void> join() {
    for (auto& [number, l] : lanes)
      while (l.running() || (!closed && holds == 0 && l.callable())) co_await l.ended.wait();
  }

  asio::any_io_executor executor;
  const std::thread::id maker = std::this_thread::get_id();
  signal_feed* feed;
  observer watcher;
  std::map<int, lane> lanes;  // never erased from: a handler that runs refers to its lane
  std::vector<std::unique_ptr<waiter>> waiters;  // each owns the coroutine that waits
  unsigned holds = 0;
  bool closed = false;
};

signal_dispatcher::signal_dispatcher(asio::any_io_executor executor, signal_feed& feed,
                                     observer watcher)
    : impl_(std::make_shared<impl>(std::move(executor), feed, std::move(watcher))) {
  feed.on_ready([weak = std::weak_ptr(impl_)] {
    if (auto self = weak.lock()) self->deliver();
  });
}

signal_dispatcher::signal_dispatcher(asio::any_io_executor executor, signal_feed& feed)
    : signal_dispatcher(std::move(executor), feed, observer()) {}

signal_dispatcher::~signal_dispatcher() {
  impl_->closed = true;
  auto& feed = *std::exchange(impl_->feed, nullptr);
  feed.on_ready({});
  for (auto& [number, l] : impl_->lanes) {
    l.handlers.clear();
    impl_->wake(l);
    if (std::exchange(l.caught, false)) feed.unwatch(number);
  }
  // What still waits is destroyed; it holds a reference to impl_, a cycle otherwise.
  auto dropped = std::exchange(impl_->waiters, {});
}

signal_dispatcher::registration signal_dispatcher::on(int number, signal_handler handler,
                                                      delivery mode) {
  auto& lane = impl_->caught_lane(number);
  auto entry = std::make_shared<registration::state>(impl_, number, std::move(handler), mode);
  lane.handlers.push_back(entry);
  if (!std::exchange(lane.has_runner, true)) {
    auto name = "the handler of " + signal_name(number);
    lane.own = name_executor(impl_->executor, name);
    lane.group.spawn(impl::run(impl_, lane), name);
  }
  if (lane.resting && !lane.kept.empty()) impl_->deliver_later();
  return registration(std::move(entry));
}

bool signal_dispatcher::handled(int number) const noexcept {
  auto found = impl_->lanes.find(number);
  return found != impl_->lanes.end() && !found->second.handlers.empty();
}

void signal_dispatcher::watch(int number) { impl_->caught_lane(number).watched = true; }

void signal_dispatcher::otherwise(int number, std::function<void(const signal_event&)> fallback) {
  auto& lane = impl_->caught_lane(number);
  lane.watched = false;
  lane.otherwise = std::move(fallback);
  if (!lane.kept.empty()) impl_->deliver_later();
}

bool signal_dispatcher::falls_back(int number) const noexcept {
  auto found = impl_->lanes.find(number);
  return found != impl_->lanes.end() && found->second.otherwise && !found->second.watched;
}

void signal_dispatcher::restarts(int number, bool restart) {
  impl_->feed->restarts(number, restart);
}
int signal_dispatcher::wakeup_descriptor() { return impl_->feed->wakeup_descriptor(); }
std::uint64_t signal_dispatcher::wakeups_lost() const noexcept {
  return impl_->feed->wakeups_lost();
}

asio::awaitable<signal_event> signal_dispatcher::wait(std::vector<int> numbers) {
  for (int number : numbers) watch(number);
  return impl::wait(impl_, std::move(numbers));
}

asio::awaitable<void> signal_dispatcher::cancel(int number) { return impl_->cancel(number); }
asio::awaitable<void> signal_dispatcher::join() { return impl_->join(); }

asio::awaitable<void> signal_dispatcher::close() {
  impl_->closed = true;
  return impl_->join();
}

signal_dispatcher::registration::registration(std::shared_ptr<state> s) : state_(std::move(s)) {}
signal_dispatcher::registration::registration(registration&&) noexcept = default;
signal_dispatcher::registration& signal_dispatcher::registration::operator=(
    registration&& other) noexcept {
  if (this != &other) {
    reset();
    state_ = std::move(other.state_);
  }
  return *this;
}
signal_dispatcher::registration::~registration() { reset(); }

void signal_dispatcher::registration::reset() noexcept {
  if (auto state = std::exchange(state_, nullptr))
    if (auto owner = state->owner.lock()) owner->drop(state);
}

signal_dispatcher::hold::hold(signal_dispatcher& dispatcher) : impl_(dispatcher.impl_) {
  assert(impl_->on_our_thread() && "from another thread, post to the dispatcher's executor");
  ++impl_->holds;
}
signal_dispatcher::hold::hold(hold&&) noexcept = default;
signal_dispatcher::hold::~hold() {
  if (impl_ && --impl_->holds == 0) impl_->deliver_later();
}

handlers& handlers::operator()(int number, signal_handler handler, delivery mode) {
  entries_.push_back({number, std::move(handler), mode});
  return *this;
}

}  // namespace supervisor
