// An application and its sidecar, which live and die together: where one of them ends, both are
// stopped, from right to left, and started again, from left to right. A third member is a
// coroutine.
#include <supervisor/group.hpp>
#include <supervisor/run.hpp>
#include <supervisor/supervisor.hpp>

namespace asio = boost::asio;
using namespace std::chrono_literals;
using supervisor::child_spec;
using supervisor::group_spec;

asio::awaitable<void> tell_of_time(supervisor::supervisor& self) {
  for (;;) {
    co_await self.sleep_for(1min);
    self.note("both are well");
  }
}

group_spec pair_of(supervisor::supervisor& self) {
  auto program = supervisor::spec::command("sleep").arg("1000000");
  group_spec pair(supervisor::strategy::one_for_all);
  pair.intensity(3, 60s);  // a fourth restart within a minute, and the group ends
  pair.child(child_spec::process("sidecar", program));
  pair.child(child_spec::process("app", program));
  pair.child(child_spec::coroutine("clock", [&self] { return tell_of_time(self); }));
  return pair;
}

asio::awaitable<int> pair(supervisor::supervisor& self) {
  auto both = self.group("pair", pair_of(self));

  supervisor::handlers none;
  co_await self.serve(none, supervisor::until(SIGINT, SIGTERM));  // or the group has ended
  co_await both.stop();
  auto end = co_await both.ended();
  co_return end.ok ? 0 : 1;
}

int main(int argc, char** argv) { return supervisor::run(argc, argv, pair); }
