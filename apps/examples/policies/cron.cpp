// Cron: a job at every full hour, and one that runs once at the start. A job is a pool of one
// worker that is never started again; one that takes longer than its hour is not started twice.
#include <supervisor/run.hpp>
#include <supervisor/supervisor.hpp>

#include <algorithm>

namespace asio = boost::asio;
using namespace std::chrono_literals;
using supervisor::wall_time;
using task = asio::awaitable<void>;

supervisor::spec job(std::string program) {
  auto what = supervisor::spec::command(std::move(program));
  what.ready = supervisor::readiness::notify;  // it has work to do, and nobody to serve
  what.boot_timeout = 2h;                      // by then it is done, or ended
  what.restart.temporary();
  return what;
}

/// Runs the job to its end, and puts its pool away.
task run_once(supervisor::supervisor& self, std::string name, supervisor::spec what) {
  auto pool = self.pool(name, std::move(what), 1);
  auto ended = co_await pool.settled();
  if (!ended.ok) self.note(name + ": " + ended.reason);
  co_await pool.stop();
}

task run_hourly(supervisor::supervisor& self, std::string name, supervisor::spec what) {
  for (;;) {
    auto next = std::chrono::floor<std::chrono::hours>(self.wall_now()) + 1h;
    while (self.wall_now() < next) {  // somebody may set the clock meanwhile
      supervisor::duration left = next - self.wall_now();
      co_await self.sleep_for(std::min<supervisor::duration>(left, 1min));
    }
    co_await run_once(self, name, what);
  }
}

asio::awaitable<int> cron(supervisor::supervisor& self) {
  self.spawn(run_once(self, "migrate", job("true")));
  self.spawn(run_hourly(self, "clean", job("true")));

  supervisor::handlers none;
  co_await self.serve(none, supervisor::until(SIGINT, SIGTERM));
  co_return 0;  // a job that still runs is stopped by the ladder
}

int main(int argc, char** argv) { return supervisor::run(argc, argv, cron); }
