// The barest that Asio can do: one signal_set, waited for by one coroutine. What our signal figures
// owe to Asio, and what to us.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>

#include "contestant.hpp"

namespace asio = boost::asio;

namespace {

asio::awaitable<void> stamp_signals(asio::signal_set& set) {
  ++bench::the_board().ready;
  for (;;) {
    int number = co_await set.async_wait(asio::use_awaitable);
    if (number == SIGTERM) co_return;
    bench::note_handled();
  }
}

}  // namespace

int main() {
  asio::io_context context(1);
  asio::signal_set set(context, SIGTTIN, SIGRTMIN, SIGTERM);
  asio::co_spawn(context, stamp_signals(set), asio::detached);
  context.run();
}
