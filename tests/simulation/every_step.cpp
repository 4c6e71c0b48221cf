// What a pool can go through, stopped after each of its steps, and with its supervisor killed
// there: nothing is left behind, and it takes no longer than it may.
#include "support/every_step.hpp"

#include <functional>

#include "supervisor/prefork.hpp"
#include "supervisor/scaling.hpp"

using namespace supervisor;
using namespace test;
namespace asio = boost::asio;

namespace {

struct service {
  spec what{"serve"};
  rollout_options how;
  std::function<asio::awaitable<void>(self_type&, pool)> scale;
};

constexpr int pause_it = SIGUSR1, resume_it = SIGUSR2;
const int abort_it = SIGRTMIN, undo_it = SIGRTMIN + 1;

using command = asio::awaitable<outcome> (*)(pool&);
void obey(handlers& on, int number, pool web, command what) {
  on(number, [what, web](signal_event) mutable -> asio::awaitable<void> {
    static_cast<void>(what(web));  // recorded at its call
    co_return;
  });
}

policy_result keep_web(self_type& self, service s) {
  auto web = self.pool("web", s.what, 2);
  web.rollouts(s.how);
  if (s.scale) self.spawn(s.scale(self, web), "scale");
  handlers on;
  obey(on, SIGHUP, web, [](pool& p) { return p.roll(); });
  obey(on, pause_it, web, [](pool& p) { return p.pause_rollout(); });
  obey(on, resume_it, web, [](pool& p) { return p.resume_rollout(); });
  obey(on, abort_it, web, [](pool& p) { return p.abort_rollout("enough"); });
  obey(on, undo_it, web, [](pool& p) { return p.undo(); });
  co_await self.serve(on, until(SIGTERM));
  co_return 0;
}

/// After a second in which it has got ready.
void begin(simulation& sim, service s = {}) {
  sim.start([s](self_type& self) { return keep_web(self, s); });
  sim.run_for(1s);
}
void begin_prefork(simulation& sim) {
  sim.start([](self_type& self) {
    prefork_options options;
    options.listeners.emplace_back();
    return prefork(self, "web", spec("serve"), options);
  });
  sim.run_for(1s);
}
template <typename Policy>
service scaled(Policy by) {
  service s;
  s.scale = [by](self_type& self, pool p) { return scale(self, p, by); };
  return s;
}

const scenario lives[] = {
    {"prefork",
     [](simulation& sim) {
       takes_its_time(sim);
       begin_prefork(sim);
       kill_first(sim, "web");
       tell(sim, SIGHUP, 5s);
     },
     rolled<rollout_end::committed>},
    {"a crash loop",
     [](simulation& sim) {
       process_script s;
       s.exits_after = 10ms;
       s.exit_with = exit_status::exited(1);
       all_are(sim, s);
       begin(sim);
       sim.run_for(10s);
     },
     came<event_kind::worker_exited, 8>},
    {"launches that fail",
     [](simulation& sim) {
       sim.on_launch = [](auto& l) {
         process_script s;
         if (l.start < 4) s.launch_fails = launch_error{"clone", EAGAIN, ""};
         return s;
       };
       begin(sim);
       sim.run_for(10s);
     },
     [](const simulation& sim) { return sim.pool("web").ready == 2; }},
    {"a hang at boot",
     [](simulation& sim) {
       process_script s;
       s.ready_after.reset();
       s.ignores_stop = true;
       all_are(sim, s);
       service it;
       it.what.boot_timeout = 1s;
       it.what.stop = {stop_step{SIGTERM, 1s}};
       begin(sim, it);
       sim.run_for(5s);
     },
     ended_for<exit_cause::boot_timeout>},
    {"a hang at work",
     [](simulation& sim) {
       process_script s;
       s.hangs_after = 2s;
       all_are(sim, s);
       begin(sim);
       sim.run_for(9s);
     },
     ended_for<exit_cause::hang>},
    {"a worker that ignores TERM",
     [](simulation& sim) {
       process_script s;
       s.ignores_stop = true;
       all_are(sim, s);
       begin_prefork(sim);
       tell(sim, SIGTTOU, 35s);
     },
     came<event_kind::worker_escalated>},
    {"a drain and its end",
     [](simulation& sim) {
       takes_its_time(sim);
       begin_prefork(sim);
       tell(sim, SIGWINCH);
       tell(sim, SIGHUP, 2s);
     },
     [](const simulation& sim) {
       return came<event_kind::pool_drained>(sim) && sim.pool("web").ready == 2;
     }},

    {"a rollout that commits",
     [](simulation& sim) {
       takes_its_time(sim);
       begin(sim);
       tell(sim, SIGHUP, 5s);
     },
     rolled<rollout_end::committed>},
    {"a canary that dies at boot",
     [](simulation& sim) {
       sim.on_launch = [](auto& l) {
         process_script s;
         if (l.generation < 2) return s;
         s.ready_after = 1s;
         s.exits_after = 100ms;
         return s;
       };
       begin(sim);
       tell(sim, SIGHUP, 5s);
     },
     rolled<rollout_end::failed>},
    {"a canary that cannot be executed",
     [](simulation& sim) {
       sim.on_launch = [](auto& l) {
         process_script s;
         if (l.generation > 1) s.launch_fails = launch_error{"exec", ENOENT, "serve"};
         return s;
       };
       begin(sim);
       tell(sim, SIGHUP, 5s);
     },
     rolled<rollout_end::failed>},
    {"a canary that is never ready",
     [](simulation& sim) {
       sim.on_launch = [](auto& l) {
         process_script s;
         if (l.generation > 1) s.ready_after.reset();
         return s;
       };
       service it;
       it.what.boot_timeout = 1s;
       begin(sim, it);
       tell(sim, SIGHUP, 5s);
     },
     rolled<rollout_end::failed>},
    {"a canary that crashes in its bake",
     [](simulation& sim) {
       sim.on_launch = [](auto& l) {
         process_script s;
         if (l.generation < 2) return s;
         s.exits_after = 1s;
         s.exit_with = exit_status::exited(1);
         return s;
       };
       service it;
       it.how.bake(3s);
       begin(sim, it);
       tell(sim, SIGHUP, 5s);
     },
     rolled<rollout_end::failed>},
    {"a program that does not open",
     [](simulation& sim) {
       sim.on_open = [](auto, auto generation) {
         program_script p;
         p.opens_after = 100ms;
         if (generation > 1) p.fails = launch_error{"exec", ENOENT, "serve"};
         return p;
       };
       begin(sim);
       tell(sim, SIGHUP, 5s);
     },
     rolled<rollout_end::failed>},
    {"a bake that a probe does not like",
     [](simulation& sim) {
       sim.on_probe = [](auto& who, auto&) {
         probe_answer answer(who.generation < 2, "500");
         answer.takes = 10ms;
         return answer;
       };
       service it;
       it.how.bake(3s).healthy(probe::http("127.0.0.1:{9100+slot}"));
       begin(sim, it);
       tell(sim, SIGHUP, 5s);
     },
     rolled<rollout_end::failed>},
    {"a rollout that another one supersedes",
     [](simulation& sim) {
       takes_its_time(sim);
       begin(sim);
       tell(sim, SIGHUP, 400ms);
       tell(sim, SIGHUP, 5s);
     },
     rolled<rollout_end::superseded>},
    {"a rollout that is paused and resumed",
     [](simulation& sim) {
       takes_its_time(sim);
       begin(sim);
       tell(sim, SIGHUP, 200ms);
       tell(sim, pause_it, 3s);
       tell(sim, resume_it, 5s);
     },
     came<event_kind::rollout_resumed>},
    {"a rollout that is aborted",
     [](simulation& sim) {
       takes_its_time(sim);
       begin(sim);
       tell(sim, SIGHUP, 400ms);
       tell(sim, abort_it, 5s);
     },
     rolled<rollout_end::aborted>},
    {"a rollout that is undone",
     [](simulation& sim) {
       begin(sim);
       tell(sim, SIGHUP);
       tell(sim, undo_it, 3s);
     },
     [](const simulation& sim) {
       return rolled<rollout_end::committed>(sim) && sim.pool("web").generation == 1;
     }},

    {"a change of size",
     [](simulation& sim) {
       takes_its_time(sim);
       begin_prefork(sim);
       tell(sim, SIGTTIN);
       tell(sim, SIGTTOU);
       tell(sim, SIGTTOU);
     },
     came<event_kind::pool_resized, 3>},
    {"spare workers",
     [](simulation& sim) {
       process_script s;
       s.request_every = 100ms;
       s.service_time = 150ms;
       all_are(sim, s);
       spare_workers by;
       by.most = 4;
       begin(sim, scaled(by));
       sim.run_for(3s);
     },
     came<event_kind::pool_resized>},
    {"workers on demand",
     [](simulation& sim) {
       on_demand by;
       by.idle_for = 1s;
       begin(sim, scaled(by));
       sim.run_for(4s);
       sim.queue(2);
       sim.run_for(100ms);
       sim.queue(0);
       sim.run_for(7s);
     },
     [](const simulation& sim) { return sim.launches() > 2 && sim.pool("web").target == 0; }},
    {"workers by the backlog",
     [](simulation& sim) {
       by_backlog by;
       by.most = 4;
       by.calm = 2s;
       begin(sim, scaled(by));
       sim.queue(5);
       sim.run_for(2s);
       sim.queue(0);
       sim.run_for(16s);
     },
     came<event_kind::pool_resized, 2>},

    {"recycling by requests",
     [](simulation& sim) {
       process_script s;
       s.request_every = 100ms;
       s.spent_after = 2s;  // a worker counts its requests itself
       all_are(sim, s);
       service it;
       it.what.recycle.max_requests = 20;
       begin(sim, it);
       sim.run_for(2s);
     },
     ended_for<exit_cause::recycled>},
    {"recycling by age",
     [](simulation& sim) {
       takes_its_time(sim);
       service it;
       it.what.recycle.max_age = 3s;
       begin(sim, it);
       sim.run_for(4s);
     },
     ended_for<exit_cause::recycled>},
    {"recycling by memory",
     [](simulation& sim) {
       process_script s;
       s.leaks_kib = 1024;
       all_are(sim, s);
       service it;
       it.what.recycle.max_memory = 2 << 20;
       it.what.recycle.sampling = 1s;
       it.what.recycle.samples = 2;
       begin(sim, it);
       sim.run_for(5s);
     },
     ended_for<exit_cause::recycled>},
    {"a probe that one worker does not pass",
     [](simulation& sim) {
       sim.on_probe = [](auto& who, auto&) {
         probe_answer answer(who.slot != 1, "503");
         answer.takes = 10ms;
         return answer;
       };
       service it;
       auto http = probe::http("127.0.0.1:{9100+slot}");
       it.what.liveness.push_back(http.every(1s).within(500ms).ill_after(2));
       begin(sim, it);
       sim.run_for(4s);
     },
     ended_for<exit_cause::probe>},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(every_step)

BOOST_AUTO_TEST_CASE(a_scenario_is_one) { each_is_one(lives); }
BOOST_AUTO_TEST_CASE(a_stop_ends_in_time_and_leaves_nothing) { each_stops_in_time(lives); }
BOOST_AUTO_TEST_CASE(a_supervisor_that_is_killed_goes_on_where_it_stood) { each_goes_on(lives); }

BOOST_AUTO_TEST_SUITE_END()
