// Accepting from a socket that other workers share.
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <chrono>

#include "kernel/accept_queue.hpp"
#include "kernel/sockets.hpp"
#include "worker/impl.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

asio::generic::stream_protocol protocol_of(int fd) {
  int family = 0;
  socklen_t length = sizeof family;
  getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length);
  return {family, 0};
}

enum class verdict { wait, again, starved, fatal };

verdict judge(int error) noexcept {
  switch (error) {
    case EAGAIN:
      return verdict::wait;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case ENOSPC:  // of epoll_ctl(2): the user's watches are used up
      return verdict::starved;
    // Errors of the connection, not of the listener, accept(2).
    case ECONNABORTED:
    case EINTR:
    case EPERM:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
      return verdict::again;
    default:
      return verdict::fatal;
  }
}

}  // namespace

shared_descriptor::shared_descriptor(asio::io_context& context, int f)
    : fd(f), descriptor(context, f), place(kernel::take_over(f)) {}

shared_descriptor::~shared_descriptor() { descriptor.release(); }

worker::listener::state::state(asio::io_context& context, std::string n, int fd, const relay* ends)
    : name(std::move(n)), line(context, fd), protocol(protocol_of(fd)) {
  if (!ends) return;
  relayed.emplace(context, ends->take);
  give = ends->give;
}

void worker::listener::state::wake() {
  look_at_relay_ = true;
  boost::system::error_code ignored;
  line.descriptor.cancel(ignored);
}

void worker::listener::state::close_line() {
  // Of a unix socket the kernel does not tell.
  if (protocol.family() != AF_UNIX) to_accept_ = kernel::accept_queue_length(line.fd);
  if (relayed) to_take_ = kernel::count_packets(relayed->fd);
  wake();
}

kernel::unique_fd worker::listener::state::take(int& error) {
  kernel::unique_fd fd;
  error = EAGAIN;
  if (to_accept_ > 0) {
    fd.reset(accept4(line.fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) error = errno;
    if (fd && to_accept_ != all) --to_accept_;
  }
  if (!fd && error == EAGAIN && relayed && look_at_relay_) fd = take_relayed(error);
  return fd;
}

asio::awaitable<int> worker::listener::state::readable() {
  struct admission {
    explicit admission(state& s) : on(s) { ++on.waiting; }
    ~admission() {
      if (--on.waiting > 0) return;
      on.line.dismiss();
      if (on.relayed) on.relayed->dismiss();
    }
    admission(const admission&) = delete;
    state& on;
  };
  const bool first = waiting == 0;
  admission guard(*this);
  if (first) {
    if (int refused = line.admit()) co_return refused;
    int refused = relayed ? relayed->admit() : 0;
    if (refused) co_return refused;
    expect_relayed();
  }
  boost::system::error_code error;
  co_await line.descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                                      asio::redirect_error(asio::use_awaitable, error));
  // wake() aborts the wait as well; only a cancelled coroutine is to end.
  auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none)
    throw boost::system::system_error(asio::error::operation_aborted);
  co_return 0;
}

asio::awaitable<void> worker::impl::relief() {
  // Setting it anew would wake the others that wait here, and they us, without end.
  const auto now = std::chrono::steady_clock::now();
  if (relief_timer.expiry() <= now) relief_timer.expires_at(now + std::chrono::milliseconds(100));
  boost::system::error_code error;
  co_await relief_timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
}

bool worker::impl::holds_too_much() const noexcept {
  const auto own = activity.connections.load(std::memory_order_relaxed);
  if (own < least_slack || draining || !sharing.worth_asking(std::chrono::steady_clock::now()))
    return false;
  // Of a large pool the first tell what the rest is like.
  constexpr std::size_t sample = 64;
  share_of_load load{own, own, 1};
  for (auto& cell : boot.cells.first(std::min(sample, boot.cells.size()))) {
    const auto share = cell.share.load(std::memory_order_relaxed);
    if (share == kernel::activity::never_given) break;
    if (share != kernel::activity::takes || &cell == &activity) continue;
    load.all += cell.connections.load(std::memory_order_relaxed);
    ++load.workers;
  }
  return is_too_much(load);
}

asio::awaitable<void> worker::impl::give_way() {
  // Whoever came meanwhile has woken a sibling, because this worker is not in the listener's line.
  // One that sleeps all the same - stopped, hung, without a CPU - must not make anybody wait.
  asio::steady_timer moment(context);
  boost::system::error_code error;
  bool still = true;
  for (int step = 0; step < 4 && still; ++step) {
    moment.expires_after(std::chrono::microseconds(250));
    co_await moment.async_wait(asio::redirect_error(asio::use_awaitable, error));
    still = holds_too_much();
  }
  sharing.answered(!still, std::chrono::steady_clock::now());
}

asio::awaitable<std::optional<connection>> worker::accept(class listener& from) {
  auto on = from.state_;
  // One connection a turn of the loop: those accepted before are served meanwhile, and an idle
  // worker gets the next.
  if (std::exchange(on->took, false)) {
    co_await asio::post(impl_->context, asio::use_awaitable);
    if (impl_->holds_too_much()) co_await impl_->give_way();
  } else if (!impl_->draining) {
    impl_->activity.share.store(kernel::activity::takes, std::memory_order_relaxed);
  }
  for (;;) {
    int error = 0;
    kernel::unique_fd fd = on->take(error);
    if (fd) {
      connection::socket accepted(impl_->context);
      boost::system::error_code refused;
      accepted.assign(on->protocol, fd.get(), refused);
      if (!refused) {
        fd.release();
        on->took = true;
        connection one(std::move(accepted), impl_->activity.connections);
        co_return std::optional<connection>(std::move(one));
      }
      error = refused.value();  // this connection is lost, the worker is not
    }
    if (judge(error) == verdict::wait) {
      if (impl_->draining) co_return std::nullopt;
      error = co_await on->readable();
      if (error == 0) continue;
    }
    if (judge(error) == verdict::starved)
      co_await impl_->relief();
    else if (judge(error) != verdict::again)
      throw boost::system::system_error(error, boost::system::system_category(),
                                        "accept on listener " + on->name);
  }
}

}  // namespace supervisor
