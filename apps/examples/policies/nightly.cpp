// Renews every worker each night at three o'clock, by the wall clock (UTC).
#include <supervisor/run.hpp>
#include <supervisor/supervisor.hpp>

#include <algorithm>

namespace asio = boost::asio;
using namespace std::chrono_literals;
using supervisor::wall_time;

constexpr auto three_o_clock = 3h;

wall_time next_night(wall_time now) {
  auto today = std::chrono::floor<std::chrono::days>(now) + three_o_clock;
  return today > now ? today : today + 24h;
}

/// Somebody may set the clock meanwhile, so it is looked at every hour.
asio::awaitable<void> wait_for(supervisor::supervisor& self, wall_time when) {
  while (self.wall_now() < when) {
    supervisor::duration left = when - self.wall_now();
    co_await self.sleep_for(std::min<supervisor::duration>(left, 1h));
  }
}

asio::awaitable<void> renew_nightly(supervisor::supervisor& self, supervisor::pool pool) {
  for (;;) {
    co_await wait_for(self, next_night(self.wall_now()));
    auto done = co_await pool.roll();
    if (!done.ok) self.note("tonight the workers stay: " + done.reason);
  }
}

asio::awaitable<int> nightly(supervisor::supervisor& self) {
  auto pool = self.pool("web", supervisor::spec::command("sleep").arg("1000000"), 2);
  self.spawn(renew_nightly(self, pool));

  supervisor::handlers none;
  co_await self.serve(none, supervisor::until(SIGINT, SIGTERM));
  co_await pool.stop();
  co_return 0;
}

int main(int argc, char** argv) { return supervisor::run(argc, argv, nightly); }
