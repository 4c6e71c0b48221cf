// Groups over time: what becomes of them when the supervisor dies, when they are let go and taken
// up by others, when a child does not end, and when all their workers die together.
#include <map>
#include <set>

#include "supervision/group_keeper.hpp"
#include "supervisor/simulation.hpp"
#include "support/stage.hpp"

using namespace supervisor;
using namespace std::chrono_literals;
namespace asio = boost::asio;
using test::stage;
using test::world;

namespace {

std::string states(const ::supervisor::group& app) {
  std::string all;
  for (auto& child : app.status().children)
    all += (all.empty() ? "" : " ") + child.name + '=' + child.state;
  return all;
}

spec command() { return spec("serve"); }

// --- A tree of everything that a group may have, for runs that are interrupted at each step.

asio::awaitable<void> watch(::supervisor::supervisor& self) {
  for (;;) {
    co_await self.sleep_for(7s);
    self.note("watching");
  }
}

asio::awaitable<int> keep_tree(::supervisor::supervisor& self) {
  auto pair = group_spec(strategy::one_for_all).intensity(2, 60s);
  pair.child(child_spec::process("side", command())).child(child_spec::process("app", command()));
  auto all = group_spec(strategy::rest_for_one).intensity(9, 60s).start_at_most({20, 10});
  all.child(child_spec::pool("db", command(), 2)).child(child_spec::group("pair", pair));
  all.child(child_spec::coroutine("watch", [&self] { return watch(self); }));
  auto tree = self.group("tree", all);
  handlers on;
  until stop{SIGTERM};
  co_await self.serve(on, std::move(stop));
  auto stopping = tree.stop();
  auto ended = co_await std::move(stopping);
  co_return ended.ok ? 0 : 1;
}

void kill_in(simulation& sim, std::string_view pool) {
  for (auto& p : sim.processes())
    if (p.pool == pool) {
      sim.kill(p.pid, SIGSEGV);
      return;
    }
}

void busy_tree(simulation& sim) {
  sim.on_launch = [](const simulated_launch&) {
    process_script script;
    script.launch_takes = 20ms;
    script.ready_after = 300ms;
    script.drain_takes = 500ms;
    return script;
  };
  sim.start(keep_tree);
  sim.run_for(3s);
  kill_in(sim, "app");
  sim.run_for(4s);
  kill_in(sim, "db");
  kill_in(sim, "side");
  sim.run_for(5s);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(group_life)

// --- Written state.

BOOST_AUTO_TEST_CASE(a_tree_goes_on_whenever_its_supervisor_dies) {
  auto scenario = [](simulation& sim) {
    busy_tree(sim);
    kill_in(sim, "side");  // once more than the pair's intensity
    sim.run_for(30s);
    std::multiset<std::string> living;
    for (auto& p : sim.processes()) living.insert(p.pool);
    if (living != std::multiset<std::string>{"app", "db", "db", "side"})
      throw std::runtime_error("not all of the tree lives");
    auto noted = sim.count(event_kind::note);
    sim.run_for(15s);
    if (sim.count(event_kind::note) == noted) throw std::runtime_error("its coroutine does not");
  };
  auto failed = restart_at_every_step(scenario, 40s);
  BOOST_TEST(!failed, describe(failed));
}

BOOST_AUTO_TEST_CASE(a_tree_ends_in_time_whenever_it_is_told_to) {
  auto failed = stop_at_every_step(busy_tree, 40s);
  BOOST_TEST(!failed, describe(failed));
}

BOOST_AUTO_TEST_CASE(a_supervisor_that_dies_in_a_quiet_moment_disturbs_no_process_of_a_tree) {
  simulation sim;
  busy_tree(sim);
  auto before = sim.processes();
  auto launches = sim.launches();
  sim.restart_supervisor();
  sim.run_for(30s);
  BOOST_TEST(sim.launches() == launches);
  BOOST_TEST(sim.processes().size() == before.size());
  // What had failed before counts still: this is one more than the pair's intensity.
  kill_in(sim, "side");
  sim.run_for(1s);
  std::string restarted;
  for (auto& e : sim.events())
    if (e.kind == event_kind::group_restarting) restarted += ' ' + e.group + '/' + e.member;
  BOOST_TEST(restarted == " pair/app pair/side tree/pair");
  sim.send(SIGTERM);
  BOOST_TEST(sim.run() == 0);
}

BOOST_FIXTURE_TEST_CASE(a_group_that_has_failed_stays_so_for_the_next_supervisor, world) {
  group_spec what;
  what.intensity(0, 1s).child(child_spec::process("a", command()));
  auto app = sup->group("app", what);
  host.run_for(1s);
  host.kill(host.living().at(0), SIGSEGV);
  host.run_for(1s);
  BOOST_TEST(app.status().state == "stopped");
  auto written = app.keeper().state();
  crash();
  boot();
  sup->adopt(written);
  auto again = sup->group("app", what);
  auto ended = run(again.ended());
  BOOST_TEST((ended.error == errc::degraded));
  BOOST_TEST(sup->stop_requested());
}

BOOST_FIXTURE_TEST_CASE(a_child_that_was_added_later_is_known_by_its_pool, world) {
  group_spec what;
  what.child(child_spec::pool("a", command(), 1));
  auto app = sup->group("app", what);
  host.run_for(1s);
  BOOST_TEST(run(app.start_child(child_spec::pool("b", command(), 2))).ok);
  auto idle = [this] { return sup->sleep_for(1h); };
  BOOST_TEST(run(app.start_child(child_spec::coroutine("c", idle))).ok);
  auto written = app.keeper().state();
  std::vector<std::pair<pool_state, program_specs>> pools;
  for (auto& pool : sup->pools()) pools.emplace_back(pool.keeper().state(), pool.keeper().specs());
  auto before = host.living();
  crash();
  boot();
  for (auto& [state, specs] : pools) sup->adopt(state, specs);
  sup->adopt(written);
  auto again = sup->group("app", what);
  host.run_for(1s);
  BOOST_TEST(states(again) == "a=running b=running");
  BOOST_TEST((host.living() == before));
  BOOST_CHECK_THROW(sup->pool("a", command(), 1), std::invalid_argument);
  run_void(sup->stop_all());
  BOOST_TEST(host.living().empty());
}

// --- Let go, and taken up.

BOOST_FIXTURE_TEST_CASE(a_group_is_made_anew_around_its_pools, world) {
  auto inner = group_spec().child(child_spec::pool("b", command(), 2));
  auto what = group_spec(strategy::one_for_all).child(child_spec::pool("a", command(), 1));
  what.child(child_spec::group("sub", inner));
  auto app = sup->group("app", what);
  host.run_for(1s);
  auto before = host.living();
  BOOST_TEST(before.size() == 3u);

  BOOST_TEST(app.release().ok);
  BOOST_TEST(app.status().state == "stopped");
  BOOST_TEST(run(app.ended()).ok);
  BOOST_TEST(!app.release().ok);
  auto pool = [&](const char* name) { return child_spec::pool(*sup->find_pool(name)); };
  auto other = group_spec(strategy::rest_for_one).child(pool("b")).child(pool("a"));
  auto fresh = sup->group("app", other.child(child_spec::pool("c", command(), 1)));
  host.run_for(1min);
  BOOST_TEST(states(fresh) == "b=running a=running c=running");
  BOOST_TEST(host.living().size() == 4u);
  for (auto id : before) BOOST_TEST(std::ranges::count(host.living(), id) == 1);
  BOOST_TEST(sup->groups().size() == 1u);
  BOOST_TEST(!sup->stop_requested());
  // It is the one that answers for them now.
  BOOST_TEST(run(fresh.stop_child("b")).ok);
  BOOST_TEST(run(fresh.stop()).ok);
  BOOST_TEST(host.living().empty());
  run_void(sup->stop_all());
}

BOOST_FIXTURE_TEST_CASE(a_pool_is_in_one_group_at_most, world) {
  auto what = group_spec().child(child_spec::pool("a", command(), 1));
  auto app = sup->group("app", what);
  host.run_for(1s);
  auto second = group_spec().child(child_spec::pool(*sup->find_pool("a")));
  BOOST_CHECK_THROW(sup->group("other", second), std::invalid_argument);
  BOOST_TEST(run(app.stop()).ok);
}

BOOST_FIXTURE_TEST_CASE(a_group_with_a_coroutine_is_not_let_go, world) {
  auto what = group_spec().child(child_spec::coroutine("c", [this] { return sup->sleep_for(1h); }));
  auto outer = group_spec().child(child_spec::group("sub", what));
  auto app = sup->group("app", outer);
  host.run_for(1s);
  auto refused = app.release();
  BOOST_TEST((refused.error == errc::invalid_argument));
  BOOST_TEST(refused.reason == "group app has a coroutine, which would be left alone");
  BOOST_TEST(app.status().state == "running");
  BOOST_TEST(run(app.stop()).ok);
}

// --- A coroutine that does not end.

BOOST_FIXTURE_TEST_CASE(a_coroutine_that_does_not_end_is_given_up_and_named, world) {
  bool ends = false;
  condition told(host);
  auto stubborn = [&]() -> asio::awaitable<void> {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    while (!ends) co_await told.wait();
  };
  auto what = group_spec(strategy::one_for_all).intensity(1, 60s);
  what.child(child_spec::coroutine("stubborn", stubborn).shutdown(5s));
  what.child(child_spec::process("a", command()));
  auto app = sup->group("app", what);
  host.run_for(1s);
  auto began = host.now();
  BOOST_TEST(run(app.stop_child("stubborn")).ok);
  BOOST_TEST((host.now() - began == 5s));
  auto* given_up = last(event_kind::member_ended);
  BOOST_TEST(given_up->member == "stubborn");
  BOOST_TEST((severity_of(*given_up) == severity::warning));
  BOOST_TEST(given_up->text == "cancelled, it has not ended within 5 s, and is given up");
  // There are never two of it.
  auto again = run(app.restart_child("stubborn"));
  BOOST_TEST(!again.ok);
  BOOST_TEST(again.reason ==
             "child stubborn did not start: it has not ended since it was cancelled");
  ends = true;
  told.notify();
  host.run_for(1s);
  ends = false;
  BOOST_TEST(run(app.restart_child("stubborn")).ok);
  // One that keeps the stop of all from its end for no longer than it may.
  auto stopping = begin(app.stop());
  host.run_for(4s);
  BOOST_TEST(!stopping->has_value());
  host.run_for(2s);
  BOOST_REQUIRE(stopping->has_value());
  ends = true;
  told.notify();
  host.run_for(1s);
}

struct stoppable : world {
  asio::awaitable<bool> stop_gracefully() {
    co_await sup->stop_all();
    co_return true;
  }
};

BOOST_FIXTURE_TEST_CASE(a_quick_stop_gives_a_coroutine_a_second_at_most, stoppable) {
  auto stubborn = [&]() -> asio::awaitable<void> {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await sup->sleep_for(10s);
  };
  auto open = [&] {
    auto within = group_spec().child(child_spec::coroutine("b", stubborn));
    auto what = group_spec().child(child_spec::group("sub", within));
    what.child(child_spec::coroutine("c", stubborn).shutdown(500ms));
    sup->group("app", what);
  };
  auto given_up_after = [&](time_point began) {
    std::map<std::string, duration> all;
    for (auto& e : events)
      if (e.kind == event_kind::member_ended && e.number == 1 && e.at >= began)
        all[e.member] = e.at - began;
    return all;
  };
  open();
  host.run_for(1s);
  auto began = host.now();
  run_void(sup->stop_all(true));
  auto after = given_up_after(began);
  BOOST_TEST((after["c"] == 500ms && after["b"] == 1500ms));

  // A stop that has begun gracefully is quick from the second word on.
  crash();
  boot();
  open();
  host.run_for(1s);
  auto stopped = begin(stop_gracefully());
  host.run_for(3s);  // b has been asked for 2.5 s
  began = host.now();
  send(SIGINT);
  BOOST_REQUIRE(host.run_until([&] { return stopped->has_value(); }));
  BOOST_TEST((given_up_after(began)["b"] == 1s));
}

// --- A storm.

/// When workers were started, and how many of them within any second.
struct starts {
  explicit starts(world& w)
      : sink(w.log.subscribe([this](const event& e) {
          if (e.kind == event_kind::worker_launched) at.push_back(e.at);
        })) {}
  unsigned most_within(duration d) const {
    std::size_t most = 0;
    for (std::size_t i = 0, j = 0; i < at.size(); ++i) {
      while (at[i] - at[j] > d) ++j;
      most = std::max(most, i - j + 1);
    }
    return static_cast<unsigned>(most);
  }
  std::vector<time_point> at;
  std::shared_ptr<void> sink;
};

/// 10 pools of 50, half of them in a group within the group.
group_spec many(start_rate most, const spec& what) {
  auto inner = group_spec().intensity(1000, 1s);
  auto outer = group_spec().intensity(1000, 1s).start_at_most(most);
  for (int i = 0; i < 10; ++i) {
    auto pool = child_spec::pool("p" + std::to_string(i), what, 50);
    i % 2 ? inner.child(pool) : outer.child(pool);
  }
  return outer.child(child_spec::group("inner", inner));
}

BOOST_FIXTURE_TEST_CASE(five_hundred_that_die_together_come_back_within_their_groups_budget,
                        world) {
  start_rate most;
  most.burst = 50;
  most.per_second = 20;
  sup->group("app", many(most, command()));
  BOOST_REQUIRE(host.run_until([&] { return host.living().size() == 500; }, 5min));
  host.run_for(1min);  // the bucket is full again
  starts seen(*this);
  auto began = host.now();
  for (auto id : host.living()) host.kill(id, SIGKILL);
  BOOST_REQUIRE(host.run_until([&] { return seen.at.size() == 500; }, 5min));
  BOOST_TEST(seen.most_within(0s) == 50u);  // at once
  BOOST_TEST(seen.most_within(1s) == 70u);  // and 20 in the second that follows
  BOOST_TEST(seen.most_within(10s) <= 251u);
  auto took = host.now() - began;
  BOOST_TEST((took >= 22s && took <= 23s));  // 450 at 20 a second: none is wasted
  // Nobody else's turn is his: a pool beside the group starts at once.
  seen.at.clear();
  sup->pool("alone", command(), 5);
  host.run_for(1s);
  BOOST_TEST(seen.most_within(0s) >= 5u);
}

BOOST_FIXTURE_TEST_CASE(five_hundred_that_crash_together_are_spread_by_jitter, world) {
  bool broken = false;
  host.on_launch = [&](auto&) {
    script s;
    s.ready_after = 10ms;
    if (broken) s.ready_after.reset(), s.exits_after = 10ms, s.exit_with = exit_status::exited(1);
    return s;
  };
  start_rate most;
  most.burst = 100;
  most.per_second = 100;
  auto what = command();
  what.restart.exponential(10s, 60s);
  sup->group("app", many(most, what));
  BOOST_REQUIRE(host.run_until([&] { return host.living().size() == 500; }, 5min));
  host.run_for(1min);
  broken = true;
  for (auto id : host.living()) host.kill(id, SIGSEGV);
  host.run_for(100ms);
  starts seen(*this);
  host.run_for(1h);
  BOOST_TEST(seen.most_within(1s) <= 201u);
  // One that fails for the first time waits from 7.5 to 12.5 s: no two hundred at a moment.
  BOOST_TEST(seen.most_within(10ms) <= 101u);
  std::set<time_point> moments(seen.at.begin(), seen.at.end());
  BOOST_TEST(moments.size() * 2 > seen.at.size());
  broken = false;
  BOOST_REQUIRE(host.run_until(
      [&] {
        unsigned ready = 0;
        for (auto& pool : sup->pools()) ready += pool.ready();
        return ready == 500;
      },
      10min));
}

BOOST_FIXTURE_TEST_CASE(a_budget_outlives_its_supervisor, world) {
  start_rate most;
  most.burst = 3;
  most.per_second = 0.1;
  auto what = group_spec().start_at_most(most).child(child_spec::pool("a", command(), 3));
  auto app = sup->group("app", what);
  host.run_for(1s);
  BOOST_TEST(host.living().size() == 3u);
  auto written = app.keeper().state();
  auto pool = state("a");
  auto specs = keeper("a").specs();
  crash();
  boot();
  sup->adopt(pool, specs);
  sup->adopt(written);
  sup->group("app", what);
  host.kill(host.living().at(0), SIGKILL);
  host.run_for(5s);
  BOOST_TEST(host.living().size() == 2u);
  host.run_for(10s);
  BOOST_TEST(host.living().size() == 3u);
}

BOOST_AUTO_TEST_SUITE_END()
