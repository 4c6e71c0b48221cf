// A tree of processes and coroutines: an application and its sidecar live and die together, a
// coroutine of this program watches beside them, and when it all fails too often the program ends.
#include <supervisor/group.hpp>
#include <supervisor/run.hpp>
#include <supervisor/supervisor.hpp>

namespace asio = boost::asio;
using supervisor::child_spec;
using supervisor::group_spec;
using supervisor::strategy;
using namespace std::chrono_literals;

asio::awaitable<void> report(supervisor::supervisor& self) {
  for (;;) {
    co_await self.sleep_for(60s);
    self.note("still here");
  }
}

asio::awaitable<int> app_and_sidecar(supervisor::supervisor& self) {
  auto app = supervisor::spec::command("sleep").arg("1000000");
  auto sidecar = supervisor::spec::command("sleep").arg("1000001");
  auto pair = group_spec(strategy::one_for_all).intensity(3, 60s);
  pair.child(child_spec::process("sidecar", sidecar)).child(child_spec::process("app", app));

  auto all = group_spec(strategy::one_for_one).intensity(1, 600s);
  all.child(child_spec::group("pair", pair));
  all.child(child_spec::coroutine("report", [&self] { return report(self); }));
  auto tree = self.group("tree", all);

  supervisor::handlers on;
  co_await self.serve(on, supervisor::until(SIGINT, SIGTERM));  // ends with the tree, too
  auto ended = co_await tree.stop();
  co_return ended.ok ? 0 : 1;
}

int main(int argc, char** argv) { return supervisor::run(argc, argv, app_and_sidecar); }
