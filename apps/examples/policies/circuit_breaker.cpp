// A circuit breaker: a worker that fails three times within a minute is left alone, and tried once
// every half minute. A trial that gets healthy closes the circuit; USR1 tells how it stands.
#include <supervisor/run.hpp>
#include <supervisor/supervisor.hpp>

namespace asio = boost::asio;
using namespace std::chrono_literals;
using task = asio::awaitable<void>;

supervisor::spec fragile() {
  auto what = supervisor::spec::command("sleep").arg("1000000");
  what.restart.fixed(1s).half_open(3, 1min, 30s).healthy(10s);
  // Told by its exit code that its configuration is wrong, no trial would help.
  supervisor::restart_policy rest;
  rest.give_up();
  what.restart.on(supervisor::causes::exit_code(78), rest);
  return what;
}

asio::awaitable<int> circuit_breaker(supervisor::supervisor& self) {
  auto pool = self.pool("fragile", fragile(), 1);

  supervisor::handlers on;
  on(SIGUSR1, [&](supervisor::signal_event) -> task {
    auto status = pool.status();
    self.note(status.slots.front().state + ", " + status.slots.front().detail);
    co_return;
  });
  on(SIGHUP, [&](supervisor::signal_event) -> task { co_await pool.restart(0); });
  co_await self.serve(on, supervisor::until(SIGINT, SIGTERM));
  co_await pool.stop();
  co_return 0;
}

int main(int argc, char** argv) { return supervisor::run(argc, argv, circuit_breaker); }
