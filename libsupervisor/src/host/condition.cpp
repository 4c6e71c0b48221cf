#include "supervisor/condition.hpp"

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cassert>
#include <list>
#include <mutex>
#include <set>
#include <utility>

#include "host/host.hpp"
#include "host/waits.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

using completion = asio::any_completion_handler<void(boost::system::error_code, bool)>;

/// The conditions that coroutines of one context wait for, for end_waits().
struct awaited : asio::execution_context::service {
  using key_type = awaited;
  static inline asio::execution_context::id id;
  struct one {
    virtual void leave_context(bool drop) noexcept = 0;

   protected:
    ~one() = default;
  };

  explicit awaited(asio::execution_context& c) : asio::execution_context::service(c) {}
  // The hosts may be gone: what waits now is left alone.
  void shutdown() noexcept override { clear(false); }
  void clear(bool drop) noexcept {
    over_ = true;
    while (!all_.empty()) {
      auto* next = *all_.begin();
      all_.erase(all_.begin());
      next->leave_context(drop);
    }
  }
  /// False once the context has ended.
  bool enter(one* o) {
    std::lock_guard guard(door_);
    if (!over_) all_.insert(o);
    return !over_;
  }
  void leave(one* o) noexcept {
    std::lock_guard guard(door_);
    all_.erase(o);
  }

 private:
  std::mutex door_;  ///< strands of one context run in several threads
  std::set<one*> all_;
  bool over_ = false;
};

}  // namespace

struct condition::impl final : std::enable_shared_from_this<condition::impl>, awaited::one {
  struct waiter {
    waiter(completion h, asio::any_io_executor e) : handler(std::move(h)), own(std::move(e)) {}
    completion handler;
    asio::any_io_executor own;  // of the coroutine that waits
    timer_id timer = 0;
  };

  explicit impl(host* h) : clock(h) {}
  ~impl() {
    if (home) home->leave(this);
  }

  void add(completion handler, asio::any_io_executor own, time_point deadline) {
    enter(asio::query(own, asio::execution::context));
    auto slot = asio::get_associated_cancellation_slot(handler);
    auto it = waiters.emplace(waiters.end(), std::move(handler), std::move(own));
    if (deadline != never) {
      assert(clock && "a condition without a host keeps no deadlines");
      it->timer = clock->call_at(deadline, [self = weak_from_this(), it] {
        auto alive = self.lock();
        if (!alive) return;
        it->timer = 0;
        alive->complete(it, {}, false);
      });
    }
    if (slot.is_connected())
      slot.assign([self = weak_from_this(), it](asio::cancellation_type type) {
        auto alive = self.lock();
        if (alive && (type & asio::cancellation_type::terminal) != asio::cancellation_type::none)
          alive->complete(it, asio::error::operation_aborted, false);
      });
  }

  void enter(asio::execution_context& context) {
    if (home) return;
    auto& service = asio::use_service<awaited>(context);
    if (service.enter(this)) home = &service;
  }

  /// Those who wait are never resumed. A waiter's handler owns its coroutine: dropping it destroys
  /// the frames, whose destructors may come back here and find nothing.
  void drop_waiters() noexcept {
    auto dropped = std::move(waiters);
    for (auto& waiter : dropped) {
      if (waiter.timer) clock->cancel(waiter.timer);
      asio::get_associated_cancellation_slot(waiter.handler).clear();
    }
  }
  void leave_context(bool drop) noexcept override {
    home = nullptr;
    if (!drop) return;
    auto self = shared_from_this();  // this may be in one of the frames
    drop_waiters();
  }

  /// Posts rather than calls: whoever notifies goes on undisturbed, and no coroutine is reentered.
  void complete(std::list<waiter>::iterator it, boost::system::error_code error, bool notified) {
    if (it->timer) clock->cancel(it->timer);
    auto handler = std::move(it->handler);
    auto own = std::move(it->own);
    waiters.erase(it);
    asio::get_associated_cancellation_slot(handler).clear();
    asio::post(own, [handler = std::move(handler), error, notified]() mutable {
      std::move(handler)(error, notified);
    });
  }

  host* clock;
  std::list<waiter> waiters;
  awaited* home = nullptr;  ///< once somebody has waited
};

condition::condition(host& h) : impl_(std::make_shared<impl>(&h)) {}
condition::condition(asio::any_io_executor) : impl_(std::make_shared<impl>(nullptr)) {}

condition::~condition() { impl_->drop_waiters(); }

void condition::notify() noexcept {
  while (!impl_->waiters.empty()) impl_->complete(impl_->waiters.begin(), {}, true);
}

void end_waits(asio::execution_context& context) {
  asio::use_service<awaited>(context).clear(true);
}

asio::awaitable<bool> condition::wait(time_point deadline) {
  auto start = [this, deadline](auto handler) {
    asio::any_io_executor own = handler.get_executor();
    impl_->add(std::move(handler), std::move(own), deadline);
  };
  return asio::async_initiate<const asio::use_awaitable_t<>, void(boost::system::error_code, bool)>(
      start, asio::use_awaitable);
}

}  // namespace supervisor
