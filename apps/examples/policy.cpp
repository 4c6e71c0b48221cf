// A policy of one's own: twice as many workers while the sun shines, by two signals; the primitives
// do the rest. The workers are any program.
#include <supervisor/run.hpp>
#include <supervisor/supervisor.hpp>

namespace asio = boost::asio;

asio::awaitable<int> day_and_night(supervisor::supervisor& self) {
  auto what = supervisor::spec::command("sleep").arg("1000000");
  auto pool = self.pool("sleepers", what, 2);

  supervisor::handlers on;
  on(SIGUSR1, [pool](auto) mutable -> asio::awaitable<void> { co_await pool.resize(4); });
  on(SIGUSR2, [pool](auto) mutable -> asio::awaitable<void> { co_await pool.resize(2); });
  on(SIGHUP, [pool](auto) mutable -> asio::awaitable<void> { co_await pool.roll(); });
  co_await self.serve(on, supervisor::until(SIGINT, SIGTERM));

  co_await pool.stop();
  co_return 0;
}

int main(int argc, char** argv) { return supervisor::run(argc, argv, day_and_night); }
