#include "supervisor/deadline.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>

#include "host/deadline_timer.hpp"
#include "host/interruptible.hpp"
#include "host/span.hpp"
#include "supervisor/errc.hpp"

namespace asio = boost::asio;

namespace supervisor {

asio::awaitable<void> with_deadline(asio::awaitable<void> operation, duration limit) {
  deadline_timer timer(co_await asio::this_coro::executor);
  interruptible running;
  bool expired = false;
  timer.set(later(timer.now(), limit), [&] { expired = running.interrupt(); });
  try {
    co_await running.run(std::move(operation));
  } catch (const boost::system::system_error& error) {
    if (!expired || error.code() != asio::error::operation_aborted) throw;
    throw boost::system::system_error(make_error_code(errc::timed_out), "after " + describe(limit));
  }
}

}  // namespace supervisor
