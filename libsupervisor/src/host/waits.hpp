// The end of waiting, for a context that ends before its coroutines do.
#pragma once

#include <boost/asio/execution_context.hpp>

namespace supervisor {

/// Destroys every coroutine that waits for a condition in this context, and lets none wait there
/// from now on. A condition in a coroutine's own frame and its waiter hold each other: nothing else
/// ends that. The hosts of these conditions must be alive, and nothing of the context run any more.
void end_waits(boost::asio::execution_context&);

}  // namespace supervisor
