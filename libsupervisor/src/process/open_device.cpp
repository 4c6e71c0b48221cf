#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include "host/span.hpp"
#include "kernel/open_helper.hpp"
#include "supervisor/deadline.hpp"
#include "supervisor/device.hpp"
#include "supervisor/errc.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

using asio::posix::stream_descriptor;

/// In the loop, but not owned by it.
struct borrowed_fd : stream_descriptor {
  using stream_descriptor::stream_descriptor;
  ~borrowed_fd() { release(); }
};

/// Both waits end by an event of the helper's; a cancellation makes it one by killing the helper.
asio::awaitable<stream_descriptor> open_by_helper(std::string path, int flags) {
  auto executor = co_await asio::this_coro::executor;
  kernel::open_helper helper(path, flags);
  borrowed_fd channel(executor, helper.channel());
  borrowed_fd ended(executor, helper.pidfd());

  boost::system::error_code error, ignored;
  auto answered = asio::redirect_error(asio::use_awaitable, error);
  co_await channel.async_wait(stream_descriptor::wait_read, answered);
  if (error) helper.kill();

  // A helper that was killed is soon gone, and is not to be left to the destructor, which waits.
  bool throwing = co_await asio::this_coro::throw_if_cancelled();
  co_await asio::this_coro::throw_if_cancelled(false);
  auto shielded = asio::bind_cancellation_slot(asio::cancellation_slot(),
                                               asio::redirect_error(asio::use_awaitable, ignored));
  co_await ended.async_wait(stream_descriptor::wait_read, shielded);
  co_await asio::this_coro::throw_if_cancelled(throwing);

  if (error) throw boost::system::system_error(error, "opening " + path);
  co_return stream_descriptor(executor, helper.take().release());
}

}  // namespace

asio::awaitable<stream_descriptor> open_device(std::string path, int flags, duration limit) {
  try {
    auto opening = open_by_helper(path, flags);
    auto device = co_await with_deadline(std::move(opening), limit);
    co_return device;
  } catch (const boost::system::system_error& error) {
    if (error.code() != make_error_code(errc::timed_out)) throw;
    throw boost::system::system_error(error.code(),
                                      "opening " + path + ": not open within " + describe(limit));
  }
}

}  // namespace supervisor
