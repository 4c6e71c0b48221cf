// Workers for a queue of jobs: one for every ten jobs that wait, none where there is nothing to do.
// The queue is a directory; whoever leaves a file there may send USR1, so that nobody polls in
// vain.
#include <supervisor/run.hpp>
#include <supervisor/supervisor.hpp>

#include <algorithm>
#include <filesystem>
#include <functional>

namespace asio = boost::asio;
using namespace std::chrono_literals;
using task = asio::awaitable<void>;

constexpr unsigned most = 8;

unsigned workers_for(std::size_t jobs) {
  return static_cast<unsigned>(std::min<std::size_t>((jobs + 9) / 10, most));
}

/// While there is anything to do it looks every second; else a signal wakes it.
task work_off(supervisor::supervisor& self, supervisor::pool pool,
              std::function<std::size_t()> waiting) {
  for (;;) {
    std::vector<int> wake{SIGUSR1};
    auto jobs = waiting();
    // A worker that is told to leave ends its job first.
    if (auto count = workers_for(jobs); count != pool.size()) co_await pool.resize(count);
    if (jobs > 0)
      co_await self.sleep_for(1s);
    else
      co_await self.signals().wait(std::move(wake));
  }
}

asio::awaitable<int> job_queue(supervisor::supervisor& self, std::function<std::size_t()> waiting) {
  auto pool = self.pool("workers", supervisor::spec::command("sleep").arg("1000000"), 0);
  self.spawn(work_off(self, pool, std::move(waiting)));

  supervisor::handlers none;
  co_await self.serve(none, supervisor::until(SIGINT, SIGTERM));
  co_await pool.stop();
  co_return 0;
}

std::size_t files_in_spool() {
  std::error_code error;
  std::filesystem::directory_iterator spool("/var/spool/jobs", error);
  return error ? 0 : static_cast<std::size_t>(std::distance(begin(spool), end(spool)));
}

int main(int argc, char** argv) {
  return supervisor::run(
      argc, argv, [](supervisor::supervisor& self) { return job_queue(self, files_in_spool); });
}
