// Two whole pools, of which one serves: USR1 starts the other one, and lets the present one go when
// every worker of the other is ready. What does not get ready is put away, and nobody notices.
#include <supervisor/run.hpp>
#include <supervisor/supervisor.hpp>

namespace asio = boost::asio;
using task = asio::awaitable<void>;

class colours {
 public:
  colours(supervisor::supervisor& self, unsigned size) : self_(self), size_(size) {}

  void begin() { open(names_[live_]); }

  asio::awaitable<void> change() {
    auto next = open(names_[1 - live_]);
    auto tried = co_await next.settled();
    auto loser = self_.find_pool(tried.ok ? names_[live_] : names_[1 - live_]);
    if (tried.ok) live_ = 1 - live_;
    self_.note(tried.ok ? next.name() + " serves" : next.name() + " stays dark: " + tried.reason);
    co_await loser->stop();
  }

 private:
  supervisor::pool open(const std::string& name) {
    auto what = supervisor::spec::command("sleep").arg("1000000").env("COLOUR", name);
    return self_.pool(name, std::move(what), size_);
  }

  supervisor::supervisor& self_;
  unsigned size_;
  std::string names_[2] = {"blue", "green"};
  unsigned live_ = 0;
};

asio::awaitable<int> blue_green(supervisor::supervisor& self) {
  colours web(self, 2);
  web.begin();

  supervisor::handlers on;
  on(SIGUSR1, [&](supervisor::signal_event) -> task { co_await web.change(); });
  co_await self.serve(on, supervisor::until(SIGINT, SIGTERM));
  co_await self.stop_all();
  co_return 0;
}

int main(int argc, char** argv) { return supervisor::run(argc, argv, blue_green); }
