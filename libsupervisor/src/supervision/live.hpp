// A policy from its first step to the end of all it made.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <exception>
#include <functional>
#include <string_view>

#include "supervisor/supervisor.hpp"

namespace supervisor {

/// Told of an exception that ended a policy, or the stop after it: of what, and which. Returns the
/// exit code that it makes.
using failure_teller = std::function<int(std::string_view what, const std::exception_ptr&)>;

/// Runs `decide` as supervisor::run promises it: a signal that it neither handles nor waits for
/// cancels it, and what it leaves is stopped. Records the end, and returns the exit code.
boost::asio::awaitable<int> live(supervisor& self, policy decide, failure_teller tell);

}  // namespace supervisor
