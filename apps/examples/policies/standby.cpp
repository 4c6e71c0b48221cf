// A leader with a hot standby: two workers are up, one of them leads. When the leader is gone the
// other one is told by USR1 in the same moment, and what replaces the leader stands by.
#include <supervisor/journal.hpp>
#include <supervisor/run.hpp>
#include <supervisor/supervisor.hpp>

#include <optional>

namespace asio = boost::asio;

class leadership {
 public:
  leadership(supervisor::supervisor& self, supervisor::pool pool)
      : self_(self), pool_(std::move(pool)) {
    heard_ = self.log().subscribe([this](const supervisor::event& e) { hear(e); });
  }

 private:
  using kind = supervisor::event_kind;

  void hear(const supervisor::event& e) {
    if (e.pool != pool_.name()) return;
    if (e.kind == kind::worker_exited && e.slot == leader_) leader_.reset();
    if (e.kind == kind::worker_exited || e.kind == kind::worker_ready) elect();
  }

  void elect() {
    if (leader_) return;
    for (auto& worker : pool_.status().slots) {
      if (!worker.ready || pool_.signal(worker.slot, SIGUSR1)) continue;
      leader_ = worker.slot;
      return self_.note("slot " + std::to_string(worker.slot) + " leads");
    }
  }

  supervisor::supervisor& self_;
  supervisor::pool pool_;
  std::optional<unsigned> leader_;
  std::shared_ptr<void> heard_;
};

asio::awaitable<int> standby(supervisor::supervisor& self) {
  auto what =
      supervisor::spec::command("sh").arg("-c").arg("trap : USR1; while :; do sleep 1; done");
  auto pool = self.pool("db", what, 2);
  leadership lead(self, pool);

  supervisor::handlers none;
  co_await self.serve(none, supervisor::until(SIGINT, SIGTERM));
  co_await pool.stop();
  co_return 0;
}

int main(int argc, char** argv) { return supervisor::run(argc, argv, standby); }
