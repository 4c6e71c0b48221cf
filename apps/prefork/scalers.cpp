#include "scalers.hpp"

#include <boost/asio/this_coro.hpp>
#include <exception>

#include "scaling_words.hpp"
#include "supervisor/condition.hpp"
#include "supervisor/task_group.hpp"

namespace asio = boost::asio;
namespace sup = supervisor;

namespace app {

struct scalers::scaler {
  scaler(sup::supervisor& self, const run_request& said)
      : how(said.scale), most(said.prefork.workers), changed(self.executor()) {}
  std::string how;
  unsigned most;
  bool over = false;
  sup::condition changed;
};

void scalers::follow(sup::supervisor& self, sup::pool pool, const run_request& said) {
  leave(pool.name());
  if (said.scale == "static") return;
  auto made = std::make_shared<scaler>(self, said);
  all_[pool.name()] = made;
  self.spawn(run(self, std::move(pool), std::move(made)), "a scaling policy");
}

void scalers::leave(const std::string& pool) {
  auto known = all_.extract(pool);
  if (!known) return;
  known.mapped()->over = true;
  known.mapped()->changed.notify();
}

void scalers::recall(const std::string& pool, run_request& into) const {
  auto known = all_.find(pool);
  if (known == all_.end()) return;
  into.scale = known->second->how;
  into.prefork.workers = known->second->most;
}

/// Until it is over, or the policy itself is.
asio::awaitable<void> scalers::run(sup::supervisor& self, sup::pool pool,
                                   std::shared_ptr<scaler> mine) {
  sup::task_group policy(self.executor());
  auto scaling = scaling_of("scale", mine->how, mine->most);
  policy.spawn(scaling.run(self, std::move(pool)));
  std::exception_ptr cancelled;
  try {
    while (!mine->over) co_await mine->changed.wait();
  } catch (...) {
    cancelled = std::current_exception();
  }
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  policy.cancel();
  co_await policy.join();
  co_await asio::this_coro::reset_cancellation_state();
  if (cancelled) std::rethrow_exception(cancelled);
}

}  // namespace app
