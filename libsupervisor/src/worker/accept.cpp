// Accepting from a socket that other workers share.
#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>

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

worker::listener::state::state(asio::io_context& context, std::string n, int f)
    : name(std::move(n)), fd(f), protocol(protocol_of(f)), descriptor(context) {
  descriptor.assign(fd);
  place = kernel::take_over(fd);
}

worker::listener::state::~state() {
  if (descriptor.is_open()) descriptor.release();
}

void worker::listener::state::wake() {
  boost::system::error_code ignored;
  descriptor.cancel(ignored);
}

asio::awaitable<int> worker::listener::state::readable() {
  struct admission {
    explicit admission(state& s) : on(s) { ++on.waiting; }
    ~admission() {
      if (--on.waiting == 0) kernel::dismiss(on.place, on.fd);
    }
    admission(const admission&) = delete;
    state& on;
  };
  if (waiting == 0)
    if (int refused = kernel::admit(place, fd)) co_return refused;
  admission guard(*this);
  boost::system::error_code error;
  co_await descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                                 asio::redirect_error(asio::use_awaitable, error));
  // wake() aborts the wait as well; only a cancelled coroutine is to end.
  auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none)
    throw boost::system::system_error(asio::error::operation_aborted);
  co_return 0;
}

asio::awaitable<void> worker::impl::relief() {
  relief_timer.expires_after(std::chrono::milliseconds(100));
  boost::system::error_code error;
  co_await relief_timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
}

asio::awaitable<std::optional<connection>> worker::accept(class listener& from) {
  auto on = from.state_;
  // One connection a turn of the loop: those accepted before are served meanwhile, and an idle
  // worker gets the next.
  if (std::exchange(on->took, false)) co_await asio::post(impl_->context, asio::use_awaitable);
  for (;;) {
    int error = 0;
    kernel::unique_fd fd(accept4(on->fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd) {
      connection accepted(impl_->context);
      boost::system::error_code refused;
      accepted.assign(on->protocol, fd.get(), refused);
      if (!refused) {
        fd.release();
        on->took = true;
        co_return std::optional<connection>(std::move(accepted));
      }
      error = refused.value();  // this connection is lost, the worker is not
    } else {
      error = errno;
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
