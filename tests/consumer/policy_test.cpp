// A test of somebody else's policy: three workers until TERM, in virtual time.
#include <csignal>
#include <supervisor/simulation.hpp>

using namespace std::chrono_literals;

boost::asio::awaitable<int> three(supervisor::supervisor& self) {
  self.pool("web", supervisor::spec::command("serve"), 3);
  supervisor::handlers nothing;
  co_await self.serve(nothing, supervisor::until(SIGTERM));
  co_return 0;
}

int main() {
  supervisor::simulation sim;
  sim.start(three);
  sim.run_for(1s);
  sim.kill(sim.processes().at(1).pid);
  sim.run_for(1s);
  if (sim.pool("web").ready != 3 || sim.launches() != 4) return 1;
  sim.send(SIGTERM);
  return sim.run();
}
