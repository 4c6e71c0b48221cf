// A supervisor whose program is replaced while it runs.
#include "supervision/outcomes.hpp"
#include "supervision/supervisor_impl.hpp"
#include "supervisor/errc.hpp"

namespace asio = boost::asio;

namespace supervisor {

struct supervisor::impl::upgrade_attempt {
  explicit upgrade_attempt(host& outside) : over(outside) {}

  std::optional<std::string> why;  ///< it has failed
  condition over;

  static asio::awaitable<outcome> wait(std::shared_ptr<upgrade_attempt> self) {
    while (!self->why) co_await self->over.wait();
    co_return failure(errc::rolled_back, *self->why);
  }
};

asio::awaitable<outcome> supervisor::impl::upgrade() {
  if (stop_requested || stop_announced || stopping)
    return answer(failure(errc::pool_closed, "the master is stopping"));
  if (upgrading) return answer(failure(errc::upgrading, ""));
  if (!outside.is_kept()) return answer(failure(errc::no_keeper, ""));
  auto begun = log.record(event(event_kind::upgrade_started));
  upgrading = std::make_shared<upgrade_attempt>(outside);
  outside.upgrade([weak = weak_from_this(), begun](std::string why) {
    auto self = weak.lock();
    if (!self || !self->upgrading) return;
    auto ended = std::exchange(self->upgrading, nullptr);
    ended->why = why;
    ended->over.notify();
    event failed(event_kind::upgrade_failed);
    failed.cause = begun;
    failed.text = std::move(why);
    self->log.record(std::move(failed));
  });
  return upgrade_attempt::wait(upgrading);
}

}  // namespace supervisor
