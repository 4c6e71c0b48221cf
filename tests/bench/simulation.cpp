// How fast the simulation is: random schedules of the prefork policy a minute, and simulated days
// of a crash loop. Prints one JSON object; times are of the processor.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "supervisor/prefork.hpp"
#include "supervisor/simulation.hpp"

using namespace std::chrono_literals;

namespace {

double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

/// Four workers, fifty events each.
double schedules_a_minute(std::uint64_t seeds) {
  auto begin = [](supervisor::simulation& sim) {
    sim.start([](supervisor::supervisor& self) {
      supervisor::prefork_options options;
      options.workers = 4;
      return supervisor::prefork(self, "web", supervisor::spec("serve"), options);
    });
  };
  supervisor::exploration how;
  how.seeds = seeds;
  how.signals = {SIGHUP, SIGTTIN, SIGTTOU};
  auto before = processor_seconds();
  auto failed = supervisor::explore(begin, how);
  if (failed) {
    std::fputs(describe(failed).c_str(), stderr);
    std::exit(1);
  }
  return static_cast<double>(seeds) / (processor_seconds() - before) * 60;
}

/// A worker that dies at once, whenever it is started; at most a minute passes in between.
double crash_loop_seconds(supervisor::duration how_long) {
  auto before = processor_seconds();
  supervisor::simulation sim;
  sim.on_launch = [](const supervisor::simulated_launch&) {
    supervisor::process_script script;
    script.ready_after.reset();
    script.exits_after = 10ms;
    script.exit_with = supervisor::exit_status::exited(1);
    return script;
  };
  sim.start([](supervisor::supervisor& self) {
    supervisor::prefork_options options;
    options.workers = 1;
    return supervisor::prefork(self, "web", supervisor::spec("serve"), options);
  });
  sim.run_for(how_long);
  auto days = how_long / 24h;
  if (static_cast<long>(sim.launches()) < 1000 * days) std::exit(1);
  return processor_seconds() - before;
}

}  // namespace

int main(int argc, char** argv) {
  auto seeds = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 20'000;
  auto days = argc > 2 ? std::atoi(argv[2]) : 30;
  auto schedules = schedules_a_minute(seeds);
  auto loop = crash_loop_seconds(days * 24h);
  std::printf("{\"schedules_a_minute\": %.0f, \"crash_loop_s\": %.3f}\n", schedules, loop);
}
