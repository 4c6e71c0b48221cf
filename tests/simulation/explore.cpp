// Runs by chance: the library's own policies under everything that explore() does, what it makes of
// a policy that is wrong, and one journal to the byte.
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "supervisor/prefork.hpp"
#include "supervisor/simulation.hpp"

using namespace std::chrono_literals;
namespace asio = boost::asio;

namespace {

using supervisor::simulation;

supervisor::policy prefork_of(unsigned workers) {
  return [workers](supervisor::supervisor& self) {
    supervisor::prefork_options options;
    options.workers = workers;
    options.listeners.emplace_back();
    return supervisor::prefork(self, "web", supervisor::spec("serve"), options);
  };
}

void begin_prefork(simulation& sim) { sim.start(prefork_of(4)); }

supervisor::exploration all_there_is() {
  supervisor::exploration how;
  how.seeds = 150;
  how.signals = {SIGHUP, SIGTTIN, SIGTTOU, SIGUSR1, SIGWINCH, SIGRTMIN};
  return how;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(explore)

BOOST_AUTO_TEST_CASE(the_prefork_policy_keeps_every_promise) {
  auto how = all_there_is();
  how.then = [](simulation& sim) {
    auto web = sim.pool("web");
    if (web.ready != (web.drained ? 0 : web.target)) throw std::runtime_error("not all are ready");
  };
  auto failed = supervisor::explore(begin_prefork, how);
  BOOST_TEST(!failed, describe(failed));
}

// It counts the dead with a bug: the third HUP is one too many.
asio::awaitable<int> fragile(supervisor::supervisor& self) {
  auto web = self.pool("web", supervisor::spec("serve"), 2);
  int hups = 0;
  supervisor::handlers on;
  on(SIGHUP, [&](auto) -> asio::awaitable<void> {
    if (++hups == 3) co_await web.drain();
    co_return;
  });
  co_await self.serve(on, supervisor::until(SIGTERM));
  co_return 0;
}

BOOST_AUTO_TEST_CASE(what_fails_is_made_short_and_can_be_done_again) {
  supervisor::exploration how;
  how.signals = {SIGHUP, SIGUSR1};
  how.restarts_supervisor = false;
  how.then = [](simulation& sim) {
    if (sim.pool("web").ready != 2) throw std::runtime_error("two are promised");
  };
  auto begin = [](simulation& sim) { sim.start(fragile); };
  auto failed = supervisor::explore(begin, how);
  BOOST_REQUIRE(failed.has_value());
  BOOST_TEST(failed->what == "two are promised");
  BOOST_TEST(failed->journal.find("drained") != std::string::npos);
  BOOST_TEST(std::ranges::count(failed->schedule, '\n') == 3, failed->schedule);
  BOOST_TEST(failed->replay.find("SUPERVISOR_SEED=") == 0u, failed->replay);
  BOOST_TEST(failed->replay.find("test_simulation") != std::string::npos, failed->replay);

  auto variable = failed->replay.substr(16, failed->replay.find(' ') - 16);
  ::setenv("SUPERVISOR_SEED", variable.c_str(), 1);
  auto again = supervisor::explore(begin, how);
  ::unsetenv("SUPERVISOR_SEED");
  BOOST_REQUIRE(again.has_value());
  BOOST_TEST(again->journal == failed->journal);
  BOOST_TEST(again->schedule == failed->schedule);
}

// All that a prefork master goes through in a minute.
void busy_minute(simulation& sim) {
  sim.on_launch = [](const supervisor::simulated_launch& launch) {
    supervisor::process_script script;
    script.launch_takes = 20ms;
    script.ready_after = 300ms;
    script.drain_takes = 700ms;
    script.reap_takes = 10ms;
    if (launch.generation == 3 && launch.slot == 1) script.exits_after = 100ms;
    return script;
  };
  sim.start(prefork_of(2));
  sim.run_for(2s);
  sim.kill(sim.processes().at(0).pid);
  sim.send(SIGTTIN);
  sim.run_for(2s);
  sim.send(SIGHUP);
  sim.run_for(5s);
  sim.send(SIGHUP);
  sim.send(SIGTTOU);
  sim.run_for(5s);
}

BOOST_AUTO_TEST_CASE(a_stop_at_any_step_ends_in_time) {
  auto failed = supervisor::stop_at_every_step(busy_minute, 40s);
  BOOST_TEST(!failed, describe(failed));
}

BOOST_AUTO_TEST_CASE(a_supervisor_that_dies_at_any_step_is_made_good) {
  auto scenario = [](simulation& sim) {
    busy_minute(sim);
    sim.run_for(1min);
    if (sim.pool("web").ready != 2) throw std::runtime_error("two are promised");
  };
  auto failed = supervisor::restart_at_every_step(scenario, 40s);
  BOOST_TEST(!failed, describe(failed));
}

// One seed is one journal, from every compiler. After a change that is meant to be seen in it:
// SUPERVISOR_WRITE_JOURNAL=1 test_simulation --run_test=explore/one_seed_is_one_journal
BOOST_AUTO_TEST_CASE(one_seed_is_one_journal) {
  simulation sim(42);
  sim.on_launch = [&sim](const supervisor::simulated_launch& launch) {
    supervisor::process_script script;
    script.ready_after = std::chrono::milliseconds(sim.random() % 900);
    script.drain_takes = std::chrono::milliseconds(sim.random() % 900);
    if (launch.start == 3) script.launch_fails = supervisor::launch_error{"clone", EAGAIN, ""};
    if (launch.slot == 1 && launch.generation == 1) {
      script.exits_after = script.ready_after.value() / 2;
      script.exit_with = supervisor::exit_status::exited(70);
    }
    return script;
  };
  sim.start(prefork_of(3));
  sim.run_for(20s);
  sim.kill(sim.processes().at(0).pid, SIGSEGV);
  sim.stall(1500ms);
  sim.run_for(1s);
  sim.send(SIGHUP);
  sim.turn_wall_clock(-1h);
  sim.run_for(30s);
  sim.send(SIGTTOU);
  sim.run_for(1s);
  sim.restart_supervisor();
  sim.run_for(1s);
  sim.send(SIGTERM);
  BOOST_TEST(sim.run() == 0);

  if (std::getenv("SUPERVISOR_WRITE_JOURNAL")) std::ofstream(GOLDEN_JOURNAL) << sim.journal_text();
  std::ifstream file(GOLDEN_JOURNAL);
  std::ostringstream golden;
  golden << file.rdbuf();
  BOOST_TEST(sim.journal_text() == golden.str());
}

BOOST_AUTO_TEST_CASE(what_is_ready_together_runs_in_the_seeds_order) {
  auto play = [](std::uint64_t seed) {
    simulation sim(seed);
    sim.start(prefork_of(4));
    sim.run_for(1s);
    return sim.journal_text();
  };
  BOOST_TEST(play(1) == play(1));
  bool differs = false;
  for (std::uint64_t seed = 2; seed < 10; ++seed) differs = differs || play(seed) != play(1);
  BOOST_TEST(differs);
}

BOOST_AUTO_TEST_SUITE_END()
