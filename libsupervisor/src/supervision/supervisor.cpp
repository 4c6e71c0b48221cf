#include "supervisor/supervisor.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <set>
#include <stdexcept>

#include "host/host.hpp"
#include "supervision/decide.hpp"
#include "supervision/pool_keeper.hpp"
#include "supervisor/condition.hpp"
#include "supervisor/journal.hpp"
#include "supervisor/task_group.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

/// Caught from the beginning: their default action would end the master.
std::vector<int> default_signals() {
  return {SIGHUP,  SIGINT,  SIGQUIT,  SIGTERM,  SIGTTIN,     SIGTTOU,
          SIGUSR1, SIGUSR2, SIGWINCH, SIGRTMIN, SIGRTMIN + 1};
}

std::string what_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception of unknown type";
  }
}

std::string describe_program(const spec& what) {
  if (what.is_function()) return "function " + what.function;
  auto text = "command " + what.program;
  for (auto& argument : what.arguments) text += " " + argument;
  return text;
}

event about_signal(event_kind kind, const signal_event& s) {
  event e{kind};
  e.number = s.number;
  e.count = static_cast<std::int64_t>(s.count);
  e.pid = s.code == SI_KERNEL ? the_kernel : s.sender;
  e.uid = s.uid;
  return e;
}

}  // namespace

struct supervisor::impl : std::enable_shared_from_this<impl> {
  impl(host& h, journal& j, std::string n)
      : outside(h),
        log(j),
        name(std::move(n)),
        keeping(h.executor(), [this](auto error) { failed(0, error); }),
        tasks(h.executor(), [this](auto error) { failed(0, error); }),
        asked(h),
        signals(h.executor(), h.signals(), signal_observer()) {}

  void failed(int number, const std::exception_ptr& error) {
    event e{event_kind::handler_failed};
    e.number = number;
    e.text = what_of(error);
    log.record(std::move(e));
  }

  signal_dispatcher::observer signal_observer() {
    signal_dispatcher::observer o;
    o.log = &log;
    o.delivered = [this](auto& s) {
      return log.record(about_signal(event_kind::signal_received, s));
    };
    o.unhandled = [this](auto& s) {
      auto e = about_signal(event_kind::signal_unhandled, s);
      e.cause = s.cause;
      log.record(std::move(e));
    };
    o.failed = [this](int number, auto error) { failed(number, error); };
    return o;
  }

  asio::awaitable<void> take(asio::awaitable<signal_event> next,
                             std::optional<signal_event>& taken) {
    auto event = co_await std::move(next);
    taken = event;
    asked.notify();
  }

  /// The first of: a signal, a request, the deadline.
  asio::awaitable<signal_event> first_of(std::vector<int> numbers, time_point deadline) {
    std::optional<signal_event> taken;
    task_group listening(outside.executor());
    listening.spawn(take(signals.wait(std::move(numbers)), taken));
    std::exception_ptr error;
    try {
      while (!taken && !request && outside.now() < deadline) co_await asked.wait(deadline);
    } catch (...) {
      error = std::current_exception();
    }
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    listening.cancel();
    co_await listening.join();
    co_await asio::this_coro::reset_cancellation_state();
    if (error) std::rethrow_exception(error);

    signal_event event;
    if (taken)
      event = *taken;
    else if (request)
      event.number = *std::exchange(request, std::nullopt) ? SIGQUIT : SIGTERM;
    co_return event;
  }

  void interrupt(const signal_event& event) {
    journal::because cause(log, event.cause);
    if (std::exchange(interrupted, true)) hurry(true);
    auto tell = fallback;
    tell(event);
  }

  /// Makes the stop quick, or kills what is left; it is reaped and reported as ever.
  void hurry(bool kill) {
    for (auto& p : pools) {
      // Recorded at its call; who waits for the stop waits for this too.
      static_cast<void>(p->stop(true));
      if (kill) p->signal_all(SIGKILL);
    }
  }

  std::shared_ptr<pool_keeper> find(std::string_view wanted) const {
    for (auto& p : pools)
      if (p->name() == wanted) return p;
    return nullptr;
  }

  static asio::awaitable<void> hasten(supervisor&, bool quick);

  std::shared_ptr<pool_keeper> add(pool_state state, program_specs specs) {
    if (find(state.name))
      throw std::invalid_argument("there is a pool named " + state.name + " already");
    return pools.emplace_back(
        std::make_shared<pool_keeper>(outside, log, keeping, std::move(state), std::move(specs)));
  }

  host& outside;
  journal& log;
  std::string name;
  task_group keeping;           ///< pools and their slots; never cancelled
  task_group tasks;             ///< the policy's
  condition asked;              ///< serve() has something to look at
  std::optional<bool> request;  ///< to stop; true: quickly
  bool stop_requested = false;
  std::function<void(const signal_event&)> fallback;  ///< see on_interrupt()
  bool interrupted = false;
  bool stopping = false;
  std::vector<std::shared_ptr<pool_keeper>> pools;
  std::set<std::string> adopted;  ///< not yet named by the policy
  signal_dispatcher signals;
};

supervisor::supervisor(host& outside, journal& log, std::string name)
    : impl_(std::make_shared<impl>(outside, log, std::move(name))) {
  for (int number : default_signals()) impl_->signals.watch(number);
  outside.on_report([weak = std::weak_ptr(impl_)](auto& key, auto report) {
    auto self = weak.lock();
    auto pool = self ? self->find(key.pool) : nullptr;
    if (pool) pool->reported(key, std::move(report));
  });
}

supervisor::~supervisor() {
  impl_->outside.on_report({});
  for (auto& p : impl_->pools) p->abandon();
}

const std::string& supervisor::name() const { return impl_->name; }

listener_spec supervisor::listen(const listener_spec& wanted) {
  auto opened = impl_->outside.listen(wanted);
  event e{event_kind::listener_opened};
  e.text = opened.name + "=" + opened.address();
  impl_->log.record(std::move(e));
  return opened;
}

::supervisor::pool supervisor::pool(std::string name, spec what, unsigned size) {
  if (impl_->adopted.erase(name)) return ::supervisor::pool(impl_->find(name));
  if (auto fault = find_fault(what)) throw std::invalid_argument("pool " + name + ": " + *fault);

  event opened{event_kind::pool_opened};
  opened.generation = 1;
  opened.count = size;
  opened.text = describe_program(what);
  pool_state state;
  state.name = std::move(name);
  program_specs specs;
  specs.emplace(1, std::make_shared<const spec>(std::move(what)));
  auto keeper = impl_->add(std::move(state), std::move(specs));
  keeper->transition(std::move(opened));
  keeper->start();
  return ::supervisor::pool(keeper);
}

::supervisor::pool supervisor::adopt(pool_state state, program_specs specs) {
  auto keeper = impl_->add(std::move(state), std::move(specs));
  impl_->adopted.insert(keeper->name());
  keeper->start();
  return ::supervisor::pool(keeper);
}

std::vector<::supervisor::pool> supervisor::pools() const {
  return {impl_->pools.begin(), impl_->pools.end()};
}

std::optional<::supervisor::pool> supervisor::find_pool(std::string_view name) const {
  auto found = impl_->find(name);
  if (!found) return {};
  return ::supervisor::pool(found);
}

asio::awaitable<signal_event> supervisor::serve(const handlers& on, until end,
                                                time_point deadline) {
  auto& self = *impl_;
  std::vector<signal_dispatcher::registration> registered;
  for (auto& entry : on.entries())
    registered.push_back(self.signals.on(entry.number, entry.handler, entry.mode));
  // The wait makes them kept signals; afterwards they are again what they were.
  std::vector<int> unclaimed;
  for (int number : end.numbers)
    if (self.signals.falls_back(number)) unclaimed.push_back(number);
  std::exception_ptr error;
  signal_event event;
  try {
    event = co_await self.first_of(std::move(end.numbers), deadline);
  } catch (...) {
    error = std::current_exception();
  }
  for (int number : unclaimed)
    self.signals.otherwise(number, [&self](auto& e) { self.interrupt(e); });
  // Whatever ended it, no handler is left behind.
  registered.clear();
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  for (auto& entry : on.entries()) co_await self.signals.cancel(entry.number);
  co_await asio::this_coro::reset_cancellation_state();
  if (error) std::rethrow_exception(error);
  co_return event;
}

signal_dispatcher& supervisor::signals() { return impl_->signals; }

void supervisor::on_interrupt(std::function<void(const signal_event&)> fallback) {
  impl_->fallback = std::move(fallback);
  for (int number : {SIGINT, SIGQUIT, SIGTERM})
    impl_->signals.otherwise(number, [self = impl_.get()](auto& e) { self->interrupt(e); });
}

journal& supervisor::log() { return impl_->log; }
time_point supervisor::now() const { return impl_->outside.now(); }

asio::awaitable<void> supervisor::sleep_for(duration d) {
  condition nothing(impl_->outside);
  co_await nothing.wait(later(now(), d));
}

void supervisor::spawn(asio::awaitable<void> task) { impl_->tasks.spawn(std::move(task)); }

void supervisor::note(std::string text) {
  event e{event_kind::note};
  e.text = std::move(text);
  impl_->log.record(std::move(e));
}

void supervisor::request_stop(bool quick) {
  impl_->stop_requested = true;
  impl_->request = quick || impl_->request.value_or(false);
  impl_->asked.notify();
}
bool supervisor::stop_requested() const { return impl_->stop_requested; }

/// Makes a graceful stop quick when INT, QUIT or a quick request comes, and a quick one a kill.
asio::awaitable<void> supervisor::impl::hasten(supervisor& self, bool quick) {
  const handlers none;
  for (;;) {
    until impatient{SIGINT, SIGQUIT, SIGTERM};
    auto event = co_await self.serve(none, std::move(impatient));
    if (event.number == SIGTERM) continue;  // asked to stop, once more
    self.impl_->hurry(std::exchange(quick, true));
  }
}

asio::awaitable<void> supervisor::stop_all(bool quick) {
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  auto& self = *impl_;
  if (!std::exchange(self.stopping, true)) {
    event e{event_kind::supervisor_stopping};
    e.text = quick ? "at once" : "gracefully";
    self.log.record(std::move(e));
  }
  // Kept from here on, until hasten() runs.
  for (int number : {SIGINT, SIGQUIT, SIGTERM}) self.signals.watch(number);
  self.tasks.cancel();
  std::vector<asio::awaitable<outcome>> stops;
  for (auto& p : self.pools) stops.push_back(p->stop(quick));

  task_group hastening(self.outside.executor());
  hastening.spawn(impl::hasten(*this, quick || self.interrupted));
  for (auto& stop : stops) co_await std::move(stop);
  hastening.cancel();
  co_await hastening.join();
  co_await self.tasks.join();
  co_await self.signals.close();
  co_await self.keeping.join();
  co_await asio::this_coro::reset_cancellation_state();
}

}  // namespace supervisor
