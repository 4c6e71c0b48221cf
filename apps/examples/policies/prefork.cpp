// A prefork master in twenty-five lines: signals scale, renew and stop a pool of any program.
#include <supervisor/run.hpp>
#include <supervisor/supervisor.hpp>

namespace asio = boost::asio;
using supervisor::signal_event;
using task = asio::awaitable<void>;

asio::awaitable<int> prefork(supervisor::supervisor& self, supervisor::spec what) {
  auto web = self.pool("web", std::move(what), 2);

  supervisor::handlers on;
  on(SIGHUP, [&](signal_event) -> task { co_await web.roll(); });
  on(SIGTTIN, [&](signal_event e) -> task {
    auto more = web.size() + static_cast<unsigned>(e.count);  // signals that came together
    co_await web.resize(more);
  });
  on(SIGTTOU, [&](signal_event e) -> task {
    auto count = static_cast<unsigned>(e.count);
    co_await web.resize(web.size() > count ? web.size() - count : 1);
  });
  auto end = co_await self.serve(on, supervisor::until(SIGINT, SIGTERM, SIGQUIT));

  co_await web.stop(end.number == SIGQUIT);
  co_return 0;
}

int main(int argc, char** argv) {
  return supervisor::run(argc, argv, [](supervisor::supervisor& self) {
    return prefork(self, supervisor::spec::command("sleep").arg("1000000"));
  });
}
