// Connections that go from a worker that leaves to one that stays.
//
// All workers of a pool share a pair of sockets for each listener. What is sent on it waits there
// until somebody accepts, as a connection does that the kernel holds: the master is not on the way,
// and no connection is lost where it, or a worker, is killed meanwhile.
#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <charconv>
#include <memory>

#include "kernel/channel.hpp"
#include "kernel/sockets.hpp"
#include "worker/impl.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

/// Before it is killed a worker has yet to end.
constexpr auto last_second = std::chrono::seconds(1);

asio::awaitable<void> throw_if_cancelled() {
  auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none)
    throw boost::system::system_error(asio::error::operation_aborted);
}

}  // namespace

// Taking.

void worker::listener::state::expect_relayed() {
  if (!relayed || std::exchange(expecting_, true)) return;
  relayed->descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                                 [self = weak_from_this()](boost::system::error_code failed) {
                                   auto alive = self.lock();
                                   if (!alive) return;
                                   alive->expecting_ = false;
                                   if (!failed) alive->wake();
                                 });
}

kernel::unique_fd worker::listener::state::take_relayed(int& error) {
  if (to_take_ == 0) return {};
  // A connection for which there is no descriptor would be lost with its packet, recvmsg(2).
  kernel::unique_fd reserve(fcntl(relayed->fd, F_DUPFD_CLOEXEC, 0));
  if (!reserve) {
    error = errno;
    return {};
  }
  reserve.reset();
  kernel::packet p;
  const auto got =
      kernel::receive_packet(relayed->fd, p, MSG_DONTWAIT, kernel::word::connection.size());
  look_at_relay_ = got == kernel::received::packet;
  error = look_at_relay_ ? EINTR : EAGAIN;  // EINTR: once more, where it brought none
  if (p.descriptors.empty()) return {};
  if (to_take_ != all) --to_take_;
  return std::move(p.descriptors.front());
}

// Giving.

asio::awaitable<bool> worker::hand_over(class listener& to, connection& one) {
  auto on = to.state_;
  if (on->give < 0) co_return false;
  for (;;) {
    const int fd = one.native_handle();
    const int error =
        kernel::send_packet(on->give, kernel::word::connection, {&fd, 1}, MSG_DONTWAIT);
    if (error == 0) break;
    if (error != EAGAIN) co_return false;
    if (!on->giving) on->giving.emplace(impl_->context, on->give);
    boost::system::error_code failed;
    co_await on->giving->async_wait(asio::posix::stream_descriptor::wait_write,
                                    asio::redirect_error(asio::use_awaitable, failed));
    co_await throw_if_cancelled();
    if (failed) co_return false;
  }
  boost::system::error_code ignored;
  one.close(ignored);
  co_return true;
}

bool worker::keeps_connections() const noexcept { return !impl_->draining || impl_->others_stay; }

asio::awaitable<idle_end> worker::idle(class listener& to, connection& one,
                                       std::chrono::nanoseconds patience) {
  struct listed {
    listed(std::list<connection*>& l, connection& c) : all(l), at(l.insert(l.end(), &c)) {}
    ~listed() { all.erase(at); }
    listed(const listed&) = delete;
    std::list<connection*>& all;
    std::list<connection*>::iterator at;
  } const here(impl_->idle, one);
  asio::steady_timer limit(impl_->context);
  // The timer's handler may be on its way when this coroutine ends.
  const auto still_here = std::make_shared<connection*>(&one);
  for (bool tried = false;;) {
    if (impl_->draining && impl_->others_stay && !std::exchange(tried, true)) {
      const bool gone = co_await hand_over(to, one);
      if (gone) co_return idle_end::handed_over;
    }
    const auto until = impl_->idle_until(patience);
    if (until <= std::chrono::steady_clock::now()) co_return idle_end::deadline;
    if (until != never) {
      limit.expires_at(until);
      limit.async_wait([there = std::weak_ptr(still_here)](boost::system::error_code cancelled) {
        auto waiting = there.lock();
        boost::system::error_code ignored;
        if (!cancelled && waiting) (*waiting)->cancel(ignored);
      });
    }
    boost::system::error_code error;
    co_await one.async_wait(connection::socket::wait_read,
                            asio::redirect_error(asio::use_awaitable, error));
    co_await throw_if_cancelled();
    // Any other error is for whoever reads.
    if (error != asio::error::operation_aborted) co_return idle_end::readable;
  }
}

time_point worker::impl::idle_until(std::chrono::nanoseconds patience) const noexcept {
  if (!draining) return never;
  const auto until = later(told_at, patience);
  return leave_by == never ? until : std::min(until, leave_by - last_second);
}

void worker::impl::stir_idle() {
  boost::system::error_code ignored;
  for (auto* one : idle) one->cancel(ignored);
}

// How it is to leave.

void worker::impl::take_terms(std::string_view word) {
  const auto* end = word.data() + word.size();
  std::int64_t microseconds = 0;
  int stay = 0;
  const auto time = std::from_chars(word.data(), end, microseconds);
  if (time.ec != std::errc{} || time.ptr == end) return;
  if (std::from_chars(time.ptr + 1, end, stay).ec != std::errc{}) return;
  leave_by = never;
  if (microseconds > 0)
    leave_by = std::chrono::steady_clock::now() + std::chrono::microseconds(microseconds);
  others_stay = stay != 0;
  if (draining) stir_idle();
}

time_point worker::leave_by() const noexcept { return impl_->draining ? impl_->leave_by : never; }

void worker::extend(std::chrono::nanoseconds more) {
  const auto microseconds = std::chrono::ceil<std::chrono::microseconds>(more).count();
  impl_->say(std::string(kernel::word::extend) + std::to_string(microseconds));
}

}  // namespace supervisor
