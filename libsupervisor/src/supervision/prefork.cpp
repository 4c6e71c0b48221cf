#include "supervisor/prefork.hpp"

#include <algorithm>
#include <csignal>

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
/// touches it: none of these is meant for the pool.
bool from_terminal(supervisor& self, const signal_event& e) {
  bool ignore = e.code == SI_KERNEL;
  if (ignore) self.note(signal_name(e.number) + " of the terminal is ignored");
  return ignore;
}

}  // namespace

asio::awaitable<int> prefork(supervisor& self, std::string name, spec what,
                             prefork_options options) {
  // Kept from here on: one that comes before the pool is there, or while a stop is under way, is
  // answered in its turn.
  for (int number : {SIGINT, SIGQUIT, SIGTERM}) self.signals().watch(number);
  for (auto& listener : options.listeners) listener = self.listen(listener);
  auto web = self.pool(std::move(name), std::move(what), std::max(options.workers, 1u));

  handlers on;
  on(SIGHUP, [&](signal_event) -> task { co_await web.roll(); });
  // These wait for nothing but the next of their kind: each counts when it comes.
  auto add = [&](signal_event e) -> task {
    if (from_terminal(self, e)) co_return;
    if (e.number == SIGTTIN && web.status().drained)
      co_await web.resume();
    else
      co_await web.resize(more(web, times(e)));
  };
  auto take_away = [&](signal_event e) -> task {
    if (from_terminal(self, e) || web.status().drained) co_return;
    co_await web.resize(fewer(web, times(e)));
  };
  for (int number : {SIGTTIN, SIGRTMIN}) on(number, add, delivery::interrupt);
  for (int number : {SIGTTOU, SIGRTMIN + 1}) on(number, take_away, delivery::interrupt);
  on(SIGWINCH, [&](signal_event e) -> task {
    if (from_terminal(self, e)) co_return;
    co_await web.drain();
  });
  on(SIGUSR1, [&](signal_event) -> task {
    web.signal_all(SIGUSR1);
    co_return;
  });
  on(SIGUSR2, [&](signal_event) -> task {
    self.note("upgrade: not yet available in this version");
    co_return;
  });

  if (options.started) options.started(self, options.listeners);
  until stop{SIGINT, SIGQUIT, SIGTERM};
  auto first = co_await self.serve(on, std::move(stop));
  bool quick = first.number == SIGQUIT;
  auto end = later(self.now(), options.drain_delay);
  while (!quick && self.now() < end) {
    until impatient{SIGINT, SIGQUIT, SIGTERM};
    auto next = co_await self.serve(on, std::move(impatient), end);
    quick = next.number == SIGINT || next.number == SIGQUIT;  // TERM: asked to stop, once more
  }
  co_await self.stop_all(quick);
  co_return 0;
}

}  // namespace supervisor
