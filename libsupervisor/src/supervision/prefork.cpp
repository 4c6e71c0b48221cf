#include "supervisor/prefork.hpp"

#include <algorithm>
#include <csignal>

#include "supervisor/errc.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

using task = asio::awaitable<void>;

/// How many a signal means: one a delivery, or the values sent along with a real-time one, summed.
std::uint64_t times(const signal_event& e) {
  auto values = e.number < SIGRTMIN ? 0 : std::max(e.value, 0);
  return std::max(static_cast<std::uint64_t>(values), e.count);
}
unsigned more(const pool& p, std::uint64_t n) {
  return static_cast<unsigned>(std::min<std::uint64_t>(p.size() + n, most_workers));
}
unsigned fewer(const pool& p, std::uint64_t n) {
  return p.size() > n ? p.size() - static_cast<unsigned>(n) : 1;
}

/// A terminal sends WINCH when its window is resized, and TTIN and TTOU to a background job that
/// touches it: none of these is meant for the pools.
bool from_terminal(supervisor& self, const signal_event& e) {
  bool ignore = e.code == SI_KERNEL;
  if (ignore) self.note(signal_name(e.number) + " of the terminal is ignored");
  return ignore;
}

// These record at the call, and return what waits for the pools to settle.

using settling = std::vector<asio::awaitable<outcome>>;

task settle(settling begun) {
  for (auto& one : begun) co_await std::move(one);
}

task roll_all(const supervisor& self) {
  settling begun;
  for (auto& p : self.pools()) begun.push_back(p.roll());
  return settle(std::move(begun));
}

task drain_all(const supervisor& self) {
  settling begun;
  for (auto& p : self.pools()) begun.push_back(p.drain());
  return settle(std::move(begun));
}

task add(const supervisor& self, const signal_event& e) {
  settling begun;
  auto all = self.pools();
  if (all.empty()) return settle({});
  if (e.number == SIGTTIN && all.front().status().drained)
    for (auto& p : all) begun.push_back(p.resume());
  else
    begun.push_back(all.front().resize(more(all.front(), times(e))));
  return settle(std::move(begun));
}

task take_away(const supervisor& self, const signal_event& e) {
  settling begun;
  auto all = self.pools();
  if (!all.empty() && !all.front().status().drained)
    begun.push_back(all.front().resize(fewer(all.front(), times(e))));
  return settle(std::move(begun));
}

/// Of an upgrade; one that has failed is told already.
task tell_refusal(supervisor& self, asio::awaitable<outcome> begun) {
  auto refused = co_await std::move(begun);
  if (refused.error == make_error_code(errc::rolled_back)) co_return;
  self.note("no upgrade: " + (refused.reason.empty() ? refused.error.message() : refused.reason));
}

/// What they hold by reference outlives them.
handlers handlers_of(supervisor& self, const signal_options& options) {
  handlers on;
  on(SIGHUP, [&](signal_event) { return options.reload ? options.reload(self) : roll_all(self); });
  // TTIN, TTOU and WINCH unless they come of a terminal. Those that count wait for nothing but the
  // next of their kind: each counts when it comes.
  auto meant = [&self](task (*what)(const supervisor&, const signal_event&)) {
    return [&self, what](const signal_event& e) {
      return from_terminal(self, e) ? settle({}) : what(self, e);
    };
  };
  for (int number : {SIGTTIN, SIGRTMIN}) on(number, meant(add), delivery::interrupt);
  for (int number : {SIGTTOU, SIGRTMIN + 1}) on(number, meant(take_away), delivery::interrupt);
  on(SIGWINCH, meant([](const supervisor& all, const signal_event&) { return drain_all(all); }));
  on(SIGUSR1, [&self](signal_event) {
    for (auto& p : self.pools()) p.signal_all(SIGUSR1);
    return settle({});
  });
  on(
      SIGUSR2, [&self](signal_event) { return tell_refusal(self, self.upgrade()); },
      delivery::interrupt);
  return on;
}

}  // namespace

asio::awaitable<int> obey_signals(supervisor& self, signal_options options) {
  auto on = handlers_of(self, options);
  until stop{SIGINT, SIGQUIT, SIGTERM};
  auto told = co_await self.serve(on, std::move(stop));
  bool quick = told.number == SIGQUIT;
  auto end = later(self.now(), options.drain_delay);
  if (!quick && self.now() < end) self.announce_stop(end);
  while (!quick && self.now() < end) {
    until impatient{SIGINT, SIGQUIT, SIGTERM};
    auto next = co_await self.serve(on, std::move(impatient), end);
    quick = next.number == SIGINT || next.number == SIGQUIT;  // TERM: asked to stop, once more
  }
  co_await self.stop_all(quick);
  co_return 0;
}

asio::awaitable<int> prefork(supervisor& self, std::string name, spec what,
                             prefork_options options) {
  // Kept from here on: one that comes before the pool is there, or while a stop is under way, is
  // answered in its turn.
  for (int number : {SIGINT, SIGQUIT, SIGTERM}) self.signals().watch(number);
  for (auto& listener : options.listeners) listener = self.listen(listener);
  auto first = std::max(options.workers, options.scale ? 0u : 1u);
  auto web = self.pool(std::move(name), std::move(what), first);
  web.rollouts(std::move(options.rollouts));
  if (options.scale) self.spawn(options.scale(self, web));
  if (options.started && !self.goes_on()) options.started(self, options.listeners);
  signal_options signals;
  signals.drain_delay = options.drain_delay;
  auto code = co_await obey_signals(self, std::move(signals));
  co_return code;
}

}  // namespace supervisor
