// A limit in time for anything that can be awaited.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <optional>
#include <utility>

#include "supervisor/time.hpp"

namespace supervisor {

/// What alarm(2) round a blocking call is: runs `operation`, and cancels it (terminally) when
/// `limit` has passed. Its end is awaited in any case, so nothing of it is left behind; when that
/// was the cancellation, system_error(errc::timed_out) is thrown. A result that came at the last
/// moment is a result, and any other exception passes. Cancelling the caller cancels the operation.
///
/// For any executor that runs one handler at a time (the loop of one thread, a strand); by the
/// executor's own clock, which in a simulation is a virtual one.
///
///     auto line = co_await with_deadline(read_line(socket), 5s);
boost::asio::awaitable<void> with_deadline(boost::asio::awaitable<void> operation, duration limit);

namespace detail {

template <typename T>
boost::asio::awaitable<void> keep_result(boost::asio::awaitable<T> operation,
                                         std::optional<T>& result) {
  T value = co_await std::move(operation);
  result.emplace(std::move(value));
}

}  // namespace detail

template <typename T>
boost::asio::awaitable<T> with_deadline(boost::asio::awaitable<T> operation, duration limit) {
  std::optional<T> result;
  auto kept = detail::keep_result(std::move(operation), result);
  co_await with_deadline(std::move(kept), limit);
  co_return std::move(*result);
}

}  // namespace supervisor
