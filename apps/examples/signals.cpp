// Signals as coroutine handlers, in any program that has an io_context: no pool, no supervisor.
// Try: kill -TTIN, kill -HUP, /bin/kill -q 5 -s RTMIN, then ctrl-C.
#include <unistd.h>
#include <supervisor/signals.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdio>

namespace asio = boost::asio;
using supervisor::delivery;
using supervisor::signal_dispatcher;
using supervisor::signal_event;

asio::awaitable<void> sleep_for(asio::steady_timer::duration time) {
  asio::steady_timer timer(co_await asio::this_coro::executor, time);
  co_await timer.async_wait(asio::use_awaitable);
}

asio::awaitable<void> reload(signal_event) {
  std::puts("reloading; another HUP begins anew");
  co_await sleep_for(std::chrono::seconds(5));
  std::puts("reloaded");
}

asio::awaitable<void> program(signal_dispatcher& signals) {
  std::uint64_t jobs = 0;
  auto more = signals.on(SIGTTIN, [&](signal_event e) -> asio::awaitable<void> {
    jobs += e.count;  // deliveries that came together are one call
    std::printf("%lu jobs, says process %d\n", jobs, e.sender);
    co_return;
  });

  auto queued = [](signal_event e) -> asio::awaitable<void> {
    std::printf("got the number %d\n", e.value);
    co_return;
  };
  auto numbers = signals.on(SIGRTMIN, queued, delivery::queue);
  auto reloads = signals.on(SIGHUP, reload, delivery::interrupt);

  {
    signal_dispatcher::hold critical(signals);
    std::puts("for three seconds nothing is delivered, and nothing lost");
    co_await sleep_for(std::chrono::seconds(3));
  }

  const std::vector<int> stops{SIGINT, SIGTERM};
  auto stop = co_await signals.wait(stops);
  std::printf("%s from process %d\n", supervisor::signal_name(stop.number).c_str(), stop.sender);
  co_await signals.close();  // a reload that runs comes to its end
}

int main() {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  std::printf("I am process %d\n", ::getpid());
  asio::io_context context;
  auto feed = supervisor::kernel_signals(context.get_executor());
  signal_dispatcher signals(context.get_executor(), *feed);
  asio::co_spawn(context, program(signals), [&](std::exception_ptr error) {
    context.stop();
    if (error) std::rethrow_exception(error);
  });
  context.run();
}
