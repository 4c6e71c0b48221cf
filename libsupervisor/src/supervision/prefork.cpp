#include "supervisor/prefork.hpp"

#include <algorithm>
#include <csignal>

namespace asio = boost::asio;

namespace supervisor {

namespace {

using task = asio::awaitable<void>;

/// How many a signal means: the values sent along, summed; one a delivery where there are none.
unsigned times(const signal_event& e) {
  return std::max(static_cast<unsigned>(std::max(e.value, 0)), static_cast<unsigned>(e.count));
}
unsigned fewer(const pool& p, unsigned n) { return p.size() > n ? p.size() - n : 1; }

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
  on(SIGTTIN, [&](signal_event e) -> task {
    if (from_terminal(self, e)) co_return;
    if (web.status().drained)
      co_await web.resume();
    else
      co_await web.resize(web.size() + static_cast<unsigned>(e.count));
  });
  on(SIGTTOU, [&](signal_event e) -> task {
    if (from_terminal(self, e)) co_return;
    co_await web.resize(fewer(web, static_cast<unsigned>(e.count)));
  });
  on(SIGRTMIN, [&](signal_event e) -> task { co_await web.resize(web.size() + times(e)); });
  on(SIGRTMIN + 1, [&](signal_event e) -> task { co_await web.resize(fewer(web, times(e))); });
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
  if (!quick && options.drain_delay > duration{}) {
    until impatient{SIGINT, SIGQUIT};
    auto second = co_await self.serve(on, std::move(impatient), self.now() + options.drain_delay);
    quick = second.number == SIGINT || second.number == SIGQUIT;
  }
  co_await self.stop_all(quick);
  co_return 0;
}

}  // namespace supervisor
