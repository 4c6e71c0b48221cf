// Scales by a number of the user's own: here the load of the machine, in hundredths.
#include <supervisor/run.hpp>
#include <supervisor/supervisor.hpp>

#include <algorithm>
#include <fstream>
#include <functional>

namespace asio = boost::asio;
using namespace std::chrono_literals;

/// How much there is to do; one worker does a hundred of it.
using metric = std::function<unsigned()>;

/// Up at once; down one at a time, and only where the rest would have room to spare: between the
/// two nothing happens, so a number that trembles moves nobody.
unsigned wanted(unsigned workers, unsigned work) {
  auto needed = std::clamp((work + 99) / 100, 1u, 16u);
  if (needed > workers) return needed;
  bool idle = work < (workers - 1) * 70;
  return idle ? workers - 1 : workers;
}

asio::awaitable<void> follow(supervisor::supervisor& self, supervisor::pool pool, metric work) {
  for (;;) {
    co_await self.sleep_for(5s);
    auto count = wanted(pool.size(), work());
    if (count != pool.size()) co_await pool.resize(count);
  }
}

asio::awaitable<int> autoscale(supervisor::supervisor& self, metric work) {
  auto pool = self.pool("busy", supervisor::spec::command("sleep").arg("1000000"), 1);
  self.spawn(follow(self, pool, std::move(work)));  // cancelled and joined at the end

  supervisor::handlers none;
  co_await self.serve(none, supervisor::until(SIGINT, SIGTERM));
  co_await pool.stop();
  co_return 0;
}

unsigned load() {
  double now = 0;
  std::ifstream("/proc/loadavg") >> now;
  return static_cast<unsigned>(now * 100);
}

int main(int argc, char** argv) {
  return supervisor::run(argc, argv,
                         [](supervisor::supervisor& self) { return autoscale(self, load); });
}
