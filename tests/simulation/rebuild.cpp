// State is data: the world is stopped between any two steps, everything of supervision is
// destroyed, and a new supervisor goes on from the written state with the children that live.
#include <set>

#include "supervision/decide.hpp"
#include "supervision/saved.hpp"
#include "support/world.hpp"

using namespace supervisor;
using namespace std::chrono_literals;
using test::world;

namespace {

/// No slot ever has two live children.
bool no_twins(const simulated_host& host) {
  std::set<std::uint64_t> slots;
  for (auto id : host.living())
    if (!slots.insert(host.request(id).key.slot_id).second) return false;
  return true;
}

/// A supervisor that dies when it is told to, and is made again.
struct mortal : world {
  explicit mortal(std::uint64_t seed = 1) : world(seed) {
    begin_of_time = host.now();
    web(2);
    save();
  }

  /// All, as one that goes on does it once.
  void save() {
    saved_supervisor all;
    all.pools.push_back({state(), keeper().specs()});
    whole = write(all);
    told = events.size();
  }
  void die_and_rise() {
    auto all = read_supervisor(whole);
    auto specs = keeper().specs();
    for (auto e = events.begin() + static_cast<std::ptrdiff_t>(told); e != events.end(); ++e) {
      saved_step step;
      step.what = *e;
      if (e->kind == event_kind::rollout_started && specs.contains(e->generation))
        step.program = specs.at(e->generation);
      take_in(all, read_step(write(step)));
    }
    held = held && all.pools.front().state == state();
    for (auto& [generation, what] : specs)
      held = held && *all.pools.front().specs.at(generation) == *what;
    crash();
    boot();
    for (auto& pool : all.pools) sup->adopt(std::move(pool.state), std::move(pool.specs));
    save();
    ++deaths;
  }
  /// Runs until `t` after the beginning.
  void until(duration t) {
    auto reached = [&] {
      held = held && no_twins(host);
      if (dies(steps++)) die_and_rise();
      return host.now() >= begin_of_time + t;
    };
    auto end = begin_of_time + t;
    if (!host.run_until(reached, end - host.now())) host.run_for(end - host.now());
  }
  ::supervisor::pool pool() { return *sup->find_pool("web"); }

  pool_state folded() const {
    pool_state p;
    p.name = "web";
    for (auto& e : events) apply(p, e);
    return p;
  }
  void check_end() {
    BOOST_TEST(held);
    BOOST_TEST(settled(state()));
    BOOST_TEST(host.living().size() == state().wanted());
    for (auto id : host.living()) BOOST_TEST(host.request(id).generation == state().generation);
    BOOST_TEST((folded() == state()));
    run(pool().stop());
    BOOST_TEST(host.living().empty());
    BOOST_TEST(!host.program("web", state().generation).open);
  }

  std::function<bool(std::uint64_t)> dies = [](std::uint64_t) { return false; };
  std::uint64_t steps = 0;
  unsigned deaths = 0;
  time_point begin_of_time;
  bool held = true;
  std::string whole;     ///< as it was saved last
  std::size_t told = 0;  ///< the events before that
};

/// All that can happen to a pool in two minutes.
void live(mortal& w) {
  w.host.on_launch = [](const launch_request& r) {
    script s;
    s.launch_takes = 100ms;
    s.ready_after = 1s;
    s.drain_takes = 2s;
    s.reap_takes = 50ms;
    if (r.slot == 0 && r.key.launch == 2) s.launch_fails = launch_error{"clone", EAGAIN, ""};
    if (r.slot == 1 && r.key.launch == 2) s.ready_after.reset();
    if (r.generation == 3 && r.slot == 1) s.exits_after = 500ms;
    return s;
  };
  w.host.on_open = [](auto&, auto) {
    program_script s;
    s.opens_after = 500ms;
    return s;
  };
  auto kill_one = [&](std::size_t n) {
    auto living = w.host.living();
    if (living.size() > n) w.host.kill(living[n], SIGKILL);
  };
  auto give = [](boost::asio::awaitable<outcome>) {};  // recorded at the call
  w.until(3s), give(w.pool().resize(4));
  w.until(6s), kill_one(0), kill_one(1);
  w.until(15s), give(w.pool().roll());
  w.until(17s), kill_one(0), give(w.pool().resize(3));
  w.until(30s), give(w.pool().roll());  // fails
  w.until(50s), give(w.pool().restart(2));
  w.until(55s), give(w.pool().drain());
  w.until(56s), give(w.pool().resume());
  w.until(60s), give(w.pool().roll());
  w.until(61s), give(w.pool().roll());
  w.until(80s), give(w.pool().roll(rollout_options().canary(2).bake(5s).max_unavailable(1)));
  w.until(83s), give(w.pool().pause_rollout());
  w.until(95s), give(w.pool().resume_rollout());
  w.until(110s), give(w.pool().undo({}, rollout_options().bake(5s).batch(2)));
  w.until(114s), give(w.pool().abort_rollout());
  w.until(125s), give(w.pool().undo());
  w.until(140s);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(rebuild)

BOOST_AUTO_TEST_CASE(at_every_step_of_a_long_life) {
  std::uint64_t last = 0;
  for (std::uint64_t k = 0; k <= last; ++k) {
    BOOST_TEST_CONTEXT("stopped after step " << k) {
      mortal w;
      w.dies = [k](std::uint64_t step) { return step == k; };
      live(w);
      if (k == 0) last = w.steps;
      w.check_end();
    }
  }
  BOOST_TEST(last > 300u);
}

/// Not so often that a supervisor never gets to do anything.
BOOST_AUTO_TEST_CASE(again_and_again) {
  for (std::uint64_t every = 16; every < 64; ++every) {
    BOOST_TEST_CONTEXT("stopped every " << every << " steps") {
      mortal w;
      w.dies = [every](std::uint64_t step) { return step % every == every - 1; };
      live(w);
      BOOST_TEST(w.deaths > 3u);
      w.dies = [](auto) { return false; };
      w.until(180s);
      w.check_end();
    }
  }
}

BOOST_AUTO_TEST_CASE(while_it_stops) {
  for (std::uint64_t k = 0; k < 60; ++k) {
    BOOST_TEST_CONTEXT("stopped after step " << k) {
      mortal w;
      live(w);
      auto stopping = w.pool().stop();
      w.steps = 0;
      w.dies = [k](std::uint64_t step) { return step == k; };
      w.until(200s);
      BOOST_TEST(w.state().stopped);
      BOOST_TEST(w.host.living().empty());
      BOOST_TEST(w.held);
    }
  }
}

/// Its report may have come before the slot saw the death: nobody tells it again.
BOOST_AUTO_TEST_CASE(while_it_stops_and_the_dead_are_reaped_at_once) {
  for (std::uint64_t k = 0; k < 40; ++k) {
    BOOST_TEST_CONTEXT("stopped after step " << k) {
      mortal w;
      w.until(1s);
      auto stopping = w.pool().stop();
      w.steps = 0;
      w.dies = [k](std::uint64_t step) { return step == k; };
      w.until(200s);
      BOOST_TEST(w.state().stopped);
      BOOST_TEST(w.host.living().empty());
    }
  }
}

/// The last worker's slot is gone when the supervisor dies, and what it left keeps its pipe open.
BOOST_AUTO_TEST_CASE(a_stopped_pool_has_told_everything_whoever_began_the_stop) {
  mortal w;
  w.host.on_launch = [](auto&) {
    script s;
    s.reap_takes = 5s;
    return s;
  };
  w.until(1s);
  w.run(w.pool().resize(1));
  auto stopping = w.pool().stop();
  BOOST_REQUIRE(w.host.run_until([&] { return w.state().slots.empty(); }));
  auto exited = w.last(event_kind::worker_exited)->id;
  w.die_and_rise();
  w.host.run_for(1s);
  BOOST_TEST(!w.state().stopped);
  BOOST_REQUIRE(w.host.run_until([&] { return w.state().stopped; }));
  BOOST_TEST(w.last(event_kind::worker_reported)->cause == exited);
  BOOST_TEST(w.last(event_kind::worker_reported)->generation == 1u);
  BOOST_TEST(w.state().departures.empty());
  BOOST_TEST((w.folded() == w.state()));
}

BOOST_AUTO_TEST_CASE(a_child_that_was_lost_meanwhile_is_replaced) {
  mortal w;
  w.until(1s);
  auto written = w.state();
  auto specs = w.keeper().specs();
  w.crash();
  written.slots.front().launches = 17;  // names a child that the host never had
  w.boot();
  auto web = w.sup->adopt(written, specs);
  w.host.poll();
  w.settle(web);
  BOOST_TEST((w.last(event_kind::worker_exited)->why == exit_cause::lost));
  BOOST_TEST(web.ready() == 2u);
}

BOOST_AUTO_TEST_CASE(naming_an_inherited_pool_attaches_to_its_workers) {
  mortal w;
  w.until(1s);
  w.run(w.pool().resize(3));
  auto before = w.host.living();
  w.die_and_rise();
  auto web = w.sup->pool("web", spec("serve"), 2);
  w.settle(web);
  BOOST_TEST(web.size() == 3u);
  BOOST_TEST((w.host.living() == before));
  BOOST_CHECK_THROW(w.sup->pool("web", spec("serve"), 2), std::invalid_argument);
}

BOOST_AUTO_TEST_SUITE_END()
