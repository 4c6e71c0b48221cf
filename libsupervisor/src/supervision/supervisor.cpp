#include "supervisor/supervisor.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <csignal>
#include <stdexcept>

#include "supervision/supervisor_impl.hpp"
#include "supervisor/group.hpp"
#include "supervisor/journal.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

/// Caught from the beginning: their default action would end the master.
std::vector<int> default_signals() {
  return {SIGHUP,  SIGINT,  SIGQUIT,  SIGTERM,  SIGTTIN,     SIGTTOU,
          SIGUSR1, SIGUSR2, SIGWINCH, SIGRTMIN, SIGRTMIN + 1};
}

}  // namespace

supervisor::supervisor(host& outside, journal& log, std::string name)
    : impl_(std::make_shared<impl>(outside, log, std::move(name), nullptr)) {
  for (int number : default_signals()) impl_->signals().watch(number);
  impl_->impatient = {SIGINT, SIGQUIT, SIGTERM};
  impl_->take_reports();
  impl_->restore();
}

supervisor::supervisor(std::unique_ptr<foundation> own) {
  auto& its = *own;
  impl_ = std::make_shared<impl>(*its.outside, its.log, its.name, std::move(own));
  impl_->take_reports();
}

supervisor::~supervisor() {
  auto executor = impl_->executor;
  if (impl_->own)
    asio::post(executor, [last = std::move(impl_)]() mutable { impl::close(std::move(last)); });
}

const std::string& supervisor::name() const { return impl_->name; }
asio::any_io_executor supervisor::executor() const { return impl_->executor; }

listener_spec supervisor::listen(const listener_spec& wanted) { return here().listen(wanted); }
std::vector<listener_spec> supervisor::listeners() const { return here().outside.listeners(); }
void supervisor::close_listener(const std::string& name) { here().close_listener(name); }

::supervisor::pool supervisor::pool(std::string name, spec what, unsigned size) {
  return here().open(std::move(name), std::move(what), size);
}

::supervisor::group supervisor::group(std::string name, group_spec what) {
  return ::supervisor::group(here().open_group(std::move(name), std::move(what)));
}

::supervisor::pool supervisor::adopt(pool_state state, program_specs specs) {
  return ::supervisor::pool(here().adopt(std::move(state), std::move(specs)));
}

void supervisor::adopt(group_state state) {
  auto name = state.name;
  here().written.insert_or_assign(std::move(name), std::move(state));
}

std::vector<::supervisor::group> supervisor::groups() const {
  std::vector<::supervisor::group> all;
  for (auto& g : here().groups)
    if (g->state().now != group_phase::stopped || g->state().by != group_end::released)
      all.emplace_back(g);
  return all;
}

bool supervisor::goes_on() const { return here().goes_on; }

void supervisor::keep_beside(std::string bytes) { here().keep_beside(std::move(bytes)); }
const std::string& supervisor::kept_beside() const { return here().beside; }

std::vector<::supervisor::pool> supervisor::pools() const {
  std::vector<::supervisor::pool> all;
  for (auto& p : here().pools)
    if (!p->state().stopped) all.emplace_back(p);
  return all;
}

std::optional<::supervisor::pool> supervisor::find_pool(std::string_view name) const {
  auto found = here().find(name);
  if (!found) return {};
  return ::supervisor::pool(found);
}

asio::awaitable<signal_event> supervisor::serve(const handlers& on, until end,
                                                time_point deadline) {
  auto& self = here();
  std::vector<signal_dispatcher::registration> registered;
  // The wait makes them kept signals; afterwards they are again what they were.
  std::vector<int> unclaimed;
  for (int number : end.numbers)
    if (self.signals().falls_back(number)) unclaimed.push_back(number);
  std::exception_ptr error;
  signal_event event;
  try {
    for (auto& entry : on.entries())
      registered.push_back(self.signals().on(entry.number, entry.handler, entry.mode));
    event = co_await self.first_of(std::move(end.numbers), deadline);
  } catch (...) {
    error = std::current_exception();
  }
  for (int number : unclaimed)
    self.signals().otherwise(number, [&self](auto& e) { self.interrupt(e); });
  // Whatever ended it, no handler is left behind.
  registered.clear();
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  for (auto& entry : on.entries()) co_await self.signals().cancel(entry.number);
  co_await asio::this_coro::reset_cancellation_state();
  if (error) std::rethrow_exception(error);
  co_return event;
}

signal_dispatcher& supervisor::signals() { return here().signals(); }

void supervisor::on_interrupt(std::function<void(const signal_event&)> fallback) {
  here().fallback = std::move(fallback);
  for (int number : {SIGINT, SIGQUIT, SIGTERM})
    impl_->signals().otherwise(number, [self = impl_.get()](auto& e) { self->interrupt(e); });
}

journal& supervisor::log() { return here().log; }
time_point supervisor::now() const { return impl_->outside.now(); }
wall_time supervisor::wall_now() const { return impl_->outside.wall_now(); }

asio::awaitable<void> supervisor::sleep_for(duration d) {
  co_await here().asleep.wait(later(now(), d));
}

void supervisor::spawn(asio::awaitable<void> task, std::string_view name) {
  here().tasks.spawn(std::move(task), name);
  if (impl_->stopping) impl_->tasks.cancel();
}

void supervisor::note(std::string text) {
  event e{event_kind::note};
  e.text = std::move(text);
  here().log.record(std::move(e));
}

void supervisor::request_stop(bool quick) { here().request_stop(quick); }
void supervisor::announce_stop(time_point serves_until) {
  here().announce_stop(false, serves_until);
}
bool supervisor::stop_requested() const { return impl_->stop_requested || impl_->stopping; }

asio::awaitable<outcome> supervisor::upgrade() { return here().upgrade(); }
bool supervisor::upgrading() const { return here().upgrading != nullptr; }

asio::awaitable<void> supervisor::stop_all(bool quick) {
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  co_await here().stop(quick);
  co_await asio::this_coro::reset_cancellation_state();
}

supervisor::impl& supervisor::here() const {
  expect_loop(impl_->outside);
  return *impl_;
}

}  // namespace supervisor
