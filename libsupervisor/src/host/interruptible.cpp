#include "host/interruptible.hpp"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace asio = boost::asio;

namespace supervisor {

std::string words_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception of unknown type";
  }
}

struct interruptible::state {
  asio::cancellation_signal signal;
  bool cancelled = false;  // by the caller
};

interruptible::interruptible() : state_(std::make_shared<state>()) {}

asio::awaitable<void> shielded_end(asio::awaitable<void> task) {
  std::exception_ptr error;
  try {
    co_await std::move(task);
  } catch (...) {
    error = std::current_exception();
  }
  co_await asio::this_coro::throw_if_cancelled(false);
  if (error) std::rethrow_exception(error);
}

namespace {

asio::awaitable<void> all_cancellations(asio::awaitable<void> task) {
  co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
  co_await std::move(task);
}

}  // namespace

asio::awaitable<void> interruptible::run(asio::awaitable<void> operation) {
  auto executor = co_await asio::this_coro::executor;
  auto start = [&](auto handler) {
    auto slot = asio::get_associated_cancellation_slot(handler);
    if (slot.is_connected())
      slot.assign([weak = std::weak_ptr(state_)](asio::cancellation_type type) {
        auto self = weak.lock();
        if (!self) return;
        self->cancelled = true;
        self->signal.emit(type);
      });
    auto done = [self = state_, slot, handler = std::move(handler)](auto error) mutable {
      if (slot.is_connected()) slot.clear();
      std::move(handler)(error);
    };
    auto task = shielded_end(all_cancellations(std::move(operation)));
    asio::co_spawn(executor, std::move(task),
                   asio::bind_cancellation_slot(state_->signal.slot(), std::move(done)));
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void(std::exception_ptr)>(
      start, asio::use_awaitable);
}

bool interruptible::interrupt() {
  if (state_->cancelled) return false;
  state_->signal.emit(asio::cancellation_type::terminal);
  return true;
}

}  // namespace supervisor
