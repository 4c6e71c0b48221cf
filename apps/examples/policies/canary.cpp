// New code goes to one worker first, and serves there for a minute beside the old; a health check
// of one's own is asked meanwhile. What it does not like never gets to the others.
#include <supervisor/rollout.hpp>
#include <supervisor/run.hpp>
#include <supervisor/supervisor.hpp>

#include <filesystem>
#include <functional>

namespace asio = boost::asio;
using namespace std::chrono_literals;
using task = asio::awaitable<void>;

/// How many errors there were, by whatever counts them.
using error_count = std::function<unsigned()>;

supervisor::rollout_options careful(error_count errors) {
  supervisor::rollout_options how;
  how.canary(1).bake(60s).batch(4);
  how.healthy([errors](supervisor::pool) -> asio::awaitable<supervisor::health_verdict> {
    auto seen = errors();
    if (seen > 3) co_return supervisor::health_verdict::no(std::to_string(seen) + " errors");
    co_return true;
  });
  return how;
}

asio::awaitable<int> canary(supervisor::supervisor& self, error_count errors) {
  auto web = self.pool("web", supervisor::spec::command("sleep").arg("1000000"), 8);
  web.rollouts(careful(std::move(errors)));

  supervisor::handlers on;
  on(SIGHUP, [&](supervisor::signal_event) -> task {
    auto done = co_await web.roll();
    self.note(done.ok ? "the new code serves" : "the old code serves on: " + done.reason);
  });
  on(SIGUSR2, [&](supervisor::signal_event) -> task { co_await web.undo(); });
  co_await self.serve(on, supervisor::until(SIGINT, SIGTERM));
  co_await web.stop();
  co_return 0;
}

unsigned error_files() {
  std::error_code error;
  std::filesystem::directory_iterator found("/var/tmp/errors", error);
  return error ? 0 : static_cast<unsigned>(std::distance(begin(found), end(found)));
}

int main(int argc, char** argv) {
  return supervisor::run(argc, argv,
                         [](supervisor::supervisor& self) { return canary(self, error_files); });
}
