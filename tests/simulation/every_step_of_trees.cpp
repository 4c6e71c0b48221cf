// Pools that need others, trees, and the policies of apps/examples, stopped after each of their
// steps, and with their supervisor killed there.
#include "support/every_step.hpp"

#include <functional>

#include "supervisor/group.hpp"

using namespace supervisor;
using namespace test;
namespace asio = boost::asio;

// What apps/examples define.
policy_result prefork(self_type&, spec);
policy_result autoscale(self_type&, std::function<unsigned()>);
policy_result nightly(self_type&);
policy_result blue_green(self_type&);
policy_result job_queue(self_type&, std::function<std::size_t()>);
policy_result standby(self_type&);
policy_result circuit_breaker(self_type&);
policy_result cron(self_type&);
policy_result canary(self_type&, std::function<unsigned()>);
policy_result pair(self_type&);
policy_result app_and_sidecar(self_type&);

namespace {

policy_result two_pools(self_type& self) {
  self.pool("db", spec("serve"), 1);
  self.pool("web", spec("serve").after("db"), 2);
  handlers none;
  co_await self.serve(none, until(SIGTERM));
  co_return 0;
}

asio::awaitable<void> fail_after(self_type& self, duration d) {
  co_await self.sleep_for(d);
  throw std::runtime_error("oh");
}

/// app: one_for_all of a, sub (rest_for_one of c, a coroutine, and b)
group_spec tree_of(self_type& self, unsigned restarts, duration coroutine_lasts) {
  group_spec sub(strategy::rest_for_one);
  sub.intensity(restarts, 60s);
  auto lasting = [&self, coroutine_lasts] { return fail_after(self, coroutine_lasts); };
  sub.child(child_spec::coroutine("c", lasting));
  sub.child(child_spec::process("b", spec("serve")));
  group_spec app(strategy::one_for_all);
  app.intensity(restarts, 60s);
  app.child(child_spec::process("a", spec("serve")));
  app.child(child_spec::group("sub", sub));
  return app;
}

policy_result keep_tree(self_type& self, unsigned restarts, duration coroutine_lasts) {
  auto app = self.group("app", tree_of(self, restarts, coroutine_lasts));
  handlers none;
  co_await self.serve(none, until(SIGTERM));
  auto ended = co_await app.stop();
  co_return ended.ok ? 0 : 1;
}

void begin_tree(simulation& sim, unsigned restarts, duration coroutine_lasts) {
  takes_its_time(sim);
  sim.start([=](self_type& self) { return keep_tree(self, restarts, coroutine_lasts); });
  sim.run_for(1s);
}

const scenario trees[] = {
    {"a pool that needs another",
     [](simulation& sim) {
       takes_its_time(sim);
       sim.start(two_pools);
       sim.run_for(1s);
       kill_first(sim, "db");
       kill_first(sim, "web");
       sim.run_for(2s);
     },
     came<event_kind::pool_released, 2>},
    {"a tree whose process dies",
     [](simulation& sim) {
       begin_tree(sim, 3, 1h);
       kill_first(sim, "a");
       sim.run_for(3s);
     },
     came<event_kind::group_started, 3>},
    {"a tree whose coroutine throws",
     [](simulation& sim) {
       begin_tree(sim, 3, 2s);
       sim.run_for(5s);
     },
     came<event_kind::group_restarting>},
    {"a tree that gives up",
     [](simulation& sim) {
       begin_tree(sim, 0, 2s);
       sim.run_for(5s);
     },
     came<event_kind::group_stopped, 2>},
};

template <auto policy>
void play(simulation& sim) {
  sim.start(policy);
  sim.run_for(1s);
}

const scenario examples[] = {
    {"prefork in twenty-five lines",
     [](simulation& sim) {
       sim.start([](self_type& self) { return ::prefork(self, spec("serve")); });
       sim.run_for(1s);
       tell(sim, SIGTTIN);
       tell(sim, SIGHUP);
     },
     rolled<rollout_end::committed>},
    {"autoscale",
     [](simulation& sim) {
       sim.start([&sim](self_type& self) {
         return autoscale(self, [&sim] { return sim.elapsed() < 10s ? 450u : 0u; });
       });
       sim.run_for(30s);
     },
     came<event_kind::pool_resized, 3>},
    {"nightly",
     [](simulation& sim) {
       play<nightly>(sim);
       sim.run_for(3h);
     },
     rolled<rollout_end::committed>},
    {"blue and green",
     [](simulation& sim) {
       takes_its_time(sim);
       play<blue_green>(sim);
       tell(sim, SIGUSR1, 2s);
     },
     [](const simulation& sim) { return noted(sim, "green serves"); }},
    {"a job queue",
     [](simulation& sim) {
       sim.start([&sim](self_type& self) {
         return job_queue(self, [&sim] { return sim.elapsed() < 2s ? 0u : 25u; });
       });
       sim.run_for(2s);
       tell(sim, SIGUSR1, 3s);
     },
     came<event_kind::pool_resized>},
    {"a leader and its standby",
     [](simulation& sim) {
       play<standby>(sim);
       for (int i = 0; i < 2; ++i) {
         kill_first(sim, "db");
         sim.run_for(1s);
       }
     },
     [](const simulation& sim) { return noted(sim, "leads", 3); }},
    {"a circuit breaker",
     [](simulation& sim) {
       process_script s;
       s.exits_after = 1s;
       s.exit_with = exit_status::exited(1);
       all_are(sim, s);
       play<circuit_breaker>(sim);
       sim.run_for(1min);
     },
     came<event_kind::worker_exited, 5>},
    {"cron",
     [](simulation& sim) {
       process_script s;
       s.ready_after.reset();
       s.exits_after = 5min;
       all_are(sim, s);
       play<cron>(sim);
       sim.run_for(70min);
     },
     came<event_kind::pool_stopped, 2>},
    {"a canary with a health check",
     [](simulation& sim) {
       sim.start([&sim](self_type& self) {
         return canary(self, [&sim] { return sim.elapsed() < 5s ? 0u : 9u; });
       });
       sim.run_for(1s);
       tell(sim, SIGHUP, 8s);
     },
     [](const simulation& sim) { return noted(sim, "the old code serves on"); }},
    {"a pair",
     [](simulation& sim) {
       takes_its_time(sim);
       play<pair>(sim);
       kill_first(sim, "sidecar");
       sim.run_for(2s);
     },
     came<event_kind::group_restarting>},
    {"a tree",
     [](simulation& sim) {
       play<app_and_sidecar>(sim);
       for (int i = 0; i < 4; ++i) {
         kill_first(sim, "app", SIGSEGV);
         sim.run_for(1s);
       }
     },
     came<event_kind::group_stopped>},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(every_step_of_trees)

BOOST_AUTO_TEST_CASE(a_scenario_is_one) {
  each_is_one(trees);
  each_is_one(examples);
}

BOOST_AUTO_TEST_CASE(a_stop_ends_in_time_and_leaves_nothing) {
  each_stops_in_time(trees);
  each_stops_in_time(examples);
}

BOOST_AUTO_TEST_CASE(a_supervisor_that_is_killed_goes_on_where_it_stood) { each_goes_on(trees); }

// What a policy of one's own was about to do is in its coroutines, and goes with them.
BOOST_AUTO_TEST_CASE(a_policy_whose_supervisor_is_killed_begins_anew_and_leaves_nothing) {
  each(examples, [](auto& s) {
    auto failed = restart_at_every_step(s.play, bound);
    BOOST_TEST(!failed, describe(failed));
  });
}

BOOST_AUTO_TEST_SUITE_END()
