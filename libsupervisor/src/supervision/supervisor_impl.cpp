#include "supervision/supervisor_impl.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <csignal>
#include <stdexcept>

#include "host/interruptible.hpp"
#include "supervision/decide.hpp"
#include "supervisor/errc.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

event about_listener(event_kind kind, const listener_spec& listener) {
  event e{kind};
  e.text = listener.name + "=" + listener.address();
  return e;
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

supervisor::impl::impl(host& h, journal& j, std::string n, std::unique_ptr<foundation> w)
    : own(std::move(w)),
      outside(h),
      executor(h.executor()),
      log(j),
      name(std::move(n)),
      keeping(executor, [this](auto error) { failed(0, error); }),
      stops(executor, [this](auto error) { failed(0, error); }),
      tasks(executor, [this](auto error) { failed(0, error); }),
      asked(h),
      asleep(h) {}

supervisor::impl::~impl() {
  outside.on_report({});
  outside.on_save_wanted([] {});
  if (own) tell_of_the_living();
  for (auto& g : groups) g->abandon();
  for (auto& p : pools) p->abandon();
}

void supervisor::impl::close(std::shared_ptr<impl> self) {
  self->closing = true;
  for (auto& g : self->groups) g->dismiss();
  for (auto& p : self->pools) p->dismiss();
  self->tasks.cancel();
  self->stops.cancel();
  self->keeping.cancel();
  drain(std::move(self));
}

void supervisor::impl::drain(std::shared_ptr<impl> self) {
  if (self->keeping.size() + self->stops.size() == 0) return;
  auto executor = self->executor;
  asio::post(executor, [self = std::move(self)]() mutable { drain(std::move(self)); });
}

void supervisor::impl::tell_of_the_living() {
  event e{event_kind::supervisor_abandoned};
  for (auto& p : pools)
    for (auto& s : p->state().slots) {
      if (!s.pid) continue;
      e.text += (e.count++ ? ", " : "") + p->name() + '.' + std::to_string(s.number) + " pid " +
                std::to_string(s.pid);
    }
  if (e.count) log.record(std::move(e));
}

void supervisor::impl::take_reports() {
  neighbourhood = log.subscribe([this](const event& e) {
    keep(e);
    if (!e.pool.empty()) tell_dependents(e.pool);
  });
  outside.on_save_wanted([weak = weak_from_this()] {
    if (auto self = weak.lock()) self->save_later();
  });
  outside.on_report([weak = weak_from_this()](auto& key, auto report) {
    auto self = weak.lock();
    auto pool = self ? self->find(key.pool) : nullptr;
    if (pool) pool->reported(key, std::move(report));
  });
}

// Pools.

void supervisor::impl::tell_dependents(std::string_view changed) {
  for (auto& p : pools)
    if (!p->state().stopped && p->needs(changed)) p->look_around();
}

/// That it needs itself, by way of others: none of them would ever start.
std::optional<std::string> supervisor::impl::find_circle(const std::string& pool,
                                                         const spec& what) const {
  std::vector<std::string> open;
  for (auto& needed : what.needs) open.push_back(needed.pool);
  for (std::size_t i = 0; i < open.size(); ++i) {
    if (open[i] == pool) return "it needs itself, by way of " + what.needs.front().pool;
    auto other = find(open[i]);
    if (!other || other->state().stopped) continue;
    for (auto& needed : other->what(other->state().generation).needs)
      if (std::ranges::find(open, needed.pool) == open.end()) open.push_back(needed.pool);
  }
  return {};
}

listener_spec supervisor::impl::listen(const listener_spec& wanted) {
  auto opened = outside.listen(wanted);
  log.record(about_listener(event_kind::listener_opened, opened));
  return opened;
}

void supervisor::impl::close_listener(const std::string& listener) {
  auto open = outside.listeners();
  auto known = std::ranges::find(open, listener, &listener_spec::name);
  if (known == open.end()) return;
  outside.close_listener(listener);
  log.record(about_listener(event_kind::listener_closed, *known));
}

::supervisor::pool supervisor::impl::open(std::string pool, spec what, unsigned size) {
  if (adopted.erase(pool)) return ::supervisor::pool(find(pool));
  if (stopping)
    throw boost::system::system_error(make_error_code(errc::pool_closed), "pool " + pool);
  auto fault = find_fault(what, outside);
  if (!fault) fault = find_fault(size);
  if (!fault) fault = find_circle(pool, what);
  if (fault) throw std::invalid_argument("pool " + pool + ": " + *fault);

  event opened{event_kind::pool_opened};
  opened.generation = 1;
  opened.count = size;
  opened.text = describe_program(what);
  pool_state state;
  state.name = std::move(pool);
  program_specs specs;
  specs.emplace(1, std::make_shared<const spec>(std::move(what)));
  auto keeper = add(std::move(state), std::move(specs));
  keeper->transition(std::move(opened));
  keeper->start();
  return ::supervisor::pool(keeper);
}

std::vector<pool_status> supervisor::impl::status() const {
  std::vector<pool_status> all;
  for (auto& p : pools)
    if (!p->state().stopped) all.push_back(::supervisor::pool(p).status());
  return all;
}

std::shared_ptr<pool_keeper> supervisor::impl::find(std::string_view wanted) const {
  for (auto& p : pools)
    if (p->name() == wanted) return p;
  return nullptr;
}

std::shared_ptr<pool_keeper> supervisor::impl::add(pool_state state, program_specs specs) {
  std::erase_if(pools, [&](auto& p) {
    bool over = p->name() == state.name && p->state().stopped;
    if (over) p->dismiss();  // a handle to it may outlive us, as one to any pool
    return over;
  });
  if (find(state.name))
    throw std::invalid_argument("there is a pool named " + state.name + " already");
  auto others = [this](std::string_view other) {
    auto known = find(other);
    return known ? &known->state() : nullptr;
  };
  auto turns = [this](std::string_view pool, unsigned ahead, time_point now) {
    auto turn = now;
    for (auto& g : groups) turn = std::max(turn, g->turn_of(pool, ahead, now));
    return turn;
  };
  return pools.emplace_back(std::make_shared<pool_keeper>(outside, log, keeping, std::move(others),
                                                          std::move(turns), std::move(state),
                                                          std::move(specs)));
}

// Signals, and the ends that they bring.

signal_dispatcher& supervisor::impl::signals() {
  if (!dispatcher) dispatcher.emplace(executor, outside.signals(), signal_observer());
  return *dispatcher;
}

void supervisor::impl::failed(int number, const std::exception_ptr& error) {
  event e{event_kind::handler_failed};
  e.number = number;
  e.text = words_of(error);
  log.record(std::move(e));
}

signal_dispatcher::observer supervisor::impl::signal_observer() {
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

void supervisor::impl::interrupt(const signal_event& event) {
  journal::because cause(log, event.cause);
  if (std::exchange(interrupted, true)) hurry(true);
  auto tell = fallback;
  tell(event);
}

/// Makes the stop quick, or kills what is left; it is reaped and reported as ever.
void supervisor::impl::hurry(bool kill) {
  for (auto& tree : trees)
    if (auto g = tree.lock()) g->begin_stop(true);
  for (auto& p : pools) {
    // Recorded at its call; who waits for the stop waits for this too.
    static_cast<void>(p->stop(true));
    if (kill) p->signal_all(SIGKILL);
  }
}

asio::awaitable<void> supervisor::impl::take(asio::awaitable<signal_event> next,
                                             std::optional<signal_event>& taken) {
  auto event = co_await std::move(next);
  taken = event;
  asked.notify();
}

asio::awaitable<signal_event> supervisor::impl::first_of(std::vector<int> numbers,
                                                         time_point deadline, bool hastens) {
  std::optional<signal_event> taken;
  task_group listening(executor);
  if (!numbers.empty()) listening.spawn(take(signals().wait(std::move(numbers)), taken));
  std::exception_ptr error;
  try {
    while (!taken && !request && !(hastens && stops_running == 0) && outside.now() < deadline)
      co_await asked.wait(deadline);
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

/// Makes a graceful stop quick when INT, QUIT or a quick request comes, and a quick one a kill.
asio::awaitable<void> supervisor::impl::hasten(bool quick) {
  while (stops_running > 0) {
    auto numbers = impatient;
    auto event = co_await first_of(std::move(numbers), never, true);
    journal::because cause(log, event.cause);
    // TERM asks to stop, once more.
    if (event.number == SIGINT || event.number == SIGQUIT) hurry(std::exchange(quick, true));
  }
}

/// Of all that may leave now: a group's children leave from right to left, unless it is to be
/// quick.
std::vector<asio::awaitable<outcome>> supervisor::impl::begin_stops(bool quick) {
  std::vector<asio::awaitable<outcome>> settling;
  for (auto& tree : trees)
    if (auto g = tree.lock()) settling.push_back(g->stop(quick));
  for (auto& p : pools)
    if (quick || !group_of(p->name())) settling.push_back(p->when(p->stop(quick)));
  return settling;
}

void supervisor::impl::request_stop(bool quick) {
  stop_requested = true;
  request = quick || request.value_or(false);
  asked.notify();
  save_later();
}

void supervisor::impl::announce_stop(bool quick, time_point serves_until) {
  if (std::exchange(stop_announced, true)) return;
  event e{event_kind::supervisor_stopping};
  e.text = quick ? "at once" : "gracefully";
  e.deadline = serves_until;
  log.record(std::move(e));
}

asio::awaitable<void> supervisor::impl::stop(bool quick) {
  stopping = true;
  announce_stop(quick, never);
  // Kept from here on, until hasten() runs.
  for (int number : impatient) signals().watch(number);
  tasks.cancel();
  auto settling = begin_stops(quick);
  if (stops_running++ == 0) keeping.spawn(hasten(quick || interrupted));
  for (auto& settled : settling) co_await std::move(settled);
  // The children of groups, which left before in their order.
  settling.clear();
  for (auto& p : pools) settling.push_back(p->when(p->stop(quick)));
  for (auto& settled : settling) co_await std::move(settled);
  if (--stops_running == 0) asked.notify();
  co_await tasks.join();
  if (dispatcher) co_await dispatcher->close();
  co_await keeping.join();
}

}  // namespace supervisor
