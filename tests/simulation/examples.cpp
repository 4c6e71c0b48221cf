// The policies of apps/examples/policies, each in virtual time, on the public interface alone.
#include <boost/asio/awaitable.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <functional>
#include <map>
#include <string>

#include "supervisor/simulation.hpp"
#include "supervisor/supervisor.hpp"

using namespace supervisor;
using namespace std::chrono_literals;
using policy_result = boost::asio::awaitable<int>;

// What the files define.
policy_result prefork(::supervisor::supervisor&, spec);
unsigned wanted(unsigned workers, unsigned work);
policy_result autoscale(::supervisor::supervisor&, std::function<unsigned()>);
policy_result nightly(::supervisor::supervisor&);
policy_result blue_green(::supervisor::supervisor&);
policy_result job_queue(::supervisor::supervisor&, std::function<std::size_t()>);
policy_result standby(::supervisor::supervisor&);
policy_result circuit_breaker(::supervisor::supervisor&);
policy_result cron(::supervisor::supervisor&);
policy_result canary(::supervisor::supervisor&, std::function<unsigned()>);
policy_result pair(::supervisor::supervisor&);
policy_result app_and_sidecar(::supervisor::supervisor&);

namespace {

struct world : simulation {
  unsigned ready(std::string_view name) const { return pool(name).ready; }
  std::uint64_t generation(std::string_view name) const { return pool(name).generation; }
  bool has(std::string_view name) const {
    for (auto& p : pools())
      if (p.name == name) return true;
    return false;
  }
  pid_t pid_of(std::string_view name, unsigned slot) const {
    for (auto& p : processes())
      if (p.pool == name && p.slot == slot) return p.pid;
    return 0;
  }
  unsigned noted(std::string_view words) const {
    unsigned n = 0;
    for (auto& e : events())
      n += e.kind == event_kind::note && e.text.find(words) != std::string::npos;
    return n;
  }
  void end() {
    send(SIGTERM);
    BOOST_TEST(run() == 0);
    BOOST_TEST(processes().empty());
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(examples)

BOOST_FIXTURE_TEST_CASE(prefork_scales_renews_and_stops, world) {
  start([](auto& self) { return ::prefork(self, spec("serve")); });
  run_for(1s);
  BOOST_TEST(ready("web") == 2u);
  send(SIGTTIN);
  send(SIGTTIN);
  run_for(1s);
  BOOST_TEST(ready("web") == 4u);
  for (int i = 0; i < 9; ++i) send(SIGTTOU);
  run_for(1s);
  BOOST_TEST(ready("web") == 1u);
  send(SIGHUP);
  run_for(1s);
  BOOST_TEST(generation("web") == 2u);
  end();
}

BOOST_AUTO_TEST_CASE(autoscale_decides_without_trembling) {
  BOOST_TEST(wanted(1, 0) == 1u);
  BOOST_TEST(wanted(1, 101) == 2u);
  BOOST_TEST(wanted(2, 100) == 2u);
  BOOST_TEST(wanted(2, 69) == 1u);
  BOOST_TEST(wanted(4, 10'000) == 16u);
  for (unsigned work = 0; work < 2'000; work += 7)  // where it came to, it stays
    for (unsigned now = 1; now <= 16; ++now) {
      auto next = wanted(now, work);
      if (next > now) BOOST_TEST(wanted(next, work) == next);
    }
}

BOOST_FIXTURE_TEST_CASE(autoscale_follows_a_step_and_rests, world) {
  unsigned work = 50;
  start([&](auto& self) { return autoscale(self, [&] { return work; }); });
  run_for(1min);
  BOOST_TEST(ready("busy") == 1u);
  work = 750;
  run_for(6s);
  BOOST_TEST(ready("busy") == 8u);
  auto before = launches();
  for (int i = 0; i < 100; ++i) {
    work = i % 2 ? 730 : 770;
    run_for(5s);
  }
  BOOST_TEST(launches() == before);
  work = 0;
  run_for(1min);
  BOOST_TEST(ready("busy") == 1u);
  end();
}

BOOST_FIXTURE_TEST_CASE(nightly_renews_at_three_whoever_sets_the_clock, world) {
  start(nightly);
  run_for(2h + 59min);
  BOOST_TEST(generation("web") == 1u);
  run_for(2min);
  BOOST_TEST(generation("web") == 2u);
  run_for(23h);
  BOOST_TEST(generation("web") == 2u);
  turn_wall_clock(50min);  // 02:51 before, 03:41 now
  run_for(1h);
  BOOST_TEST(generation("web") == 3u);
  run_for(72h);
  BOOST_TEST(generation("web") == 6u);
  end();
}

BOOST_FIXTURE_TEST_CASE(blue_green_changes_over_when_all_are_ready, world) {
  on_launch = [](const simulated_launch& l) {
    process_script s;
    if (l.pool == "green") s.launch_takes = 10s;
    return s;
  };
  start(blue_green);
  run_for(1s);
  BOOST_TEST(ready("blue") == 2u);
  send(SIGUSR1);
  run_for(9s);
  BOOST_TEST(ready("blue") == 2u);
  BOOST_TEST(ready("green") == 0u);
  run_for(2s);
  BOOST_TEST(!has("blue"));
  BOOST_TEST(ready("green") == 2u);
  end();
}

BOOST_FIXTURE_TEST_CASE(blue_green_puts_away_what_does_not_start, world) {
  on_launch = [](const simulated_launch& l) {
    process_script s;
    if (l.pool != "green") return s;
    s.ready_after.reset();
    s.exits_after = 100ms;
    s.exit_with = exit_status::exited(1);
    return s;
  };
  start(blue_green);
  run_for(1s);
  send(SIGUSR1);
  run_for(1min);
  BOOST_TEST(ready("blue") == 2u);
  BOOST_TEST(!has("green"));
  BOOST_TEST(noted("green stays dark") == 1u);
  send(SIGUSR1);  // it may be tried again
  run_for(1min);
  BOOST_TEST(noted("green stays dark") == 2u);
  end();
}

BOOST_FIXTURE_TEST_CASE(job_queue_has_nobody_where_there_is_nothing_to_do, world) {
  std::size_t jobs = 0;
  start([&](auto& self) { return job_queue(self, [&] { return jobs; }); });
  run_for(1h);
  BOOST_TEST(launches() == 0u);
  jobs = 25;
  send(SIGUSR1);
  run_for(1s);
  BOOST_TEST(ready("workers") == 3u);
  jobs = 1'000;
  run_for(2s);
  BOOST_TEST(ready("workers") == 8u);
  jobs = 0;
  run_for(2s);
  BOOST_TEST(processes().empty());
  end();
}

BOOST_FIXTURE_TEST_CASE(standby_leads_in_the_moment_the_leader_dies, world) {
  start(standby);
  run_for(2s);
  BOOST_TEST(noted("leads") == 1u);
  unsigned leader = noted("slot 0 leads") ? 0 : 1;
  auto other = "slot " + std::to_string(1 - leader) + " leads";
  auto before = now();
  kill(pid_of("db", leader));
  BOOST_TEST(noted(other) == 0u);
  settle();
  BOOST_TEST(noted(other) == 1u);
  BOOST_TEST((now() == before));
  run_for(2s);
  BOOST_TEST(ready("db") == 2u);  // one that stands by
  BOOST_TEST(noted("leads") == 2u);
  end();
}

BOOST_FIXTURE_TEST_CASE(circuit_breaker_opens_and_closes, world) {
  bool broken = true;
  on_launch = [&](const simulated_launch&) {
    process_script s;
    if (!broken) return s;
    s.exits_after = 1s;
    s.exit_with = exit_status::exited(1);
    return s;
  };
  start(circuit_breaker);
  run_for(10min);
  auto tried = launches();
  BOOST_TEST(tried > 4u + 15u);  // a trial each half minute, and no more
  BOOST_TEST(tried < 4u + 22u);
  broken = false;
  run_for(2min);
  BOOST_TEST(ready("fragile") == 1u);
  broken = true;
  tried = launches();
  kill(pid_of("fragile", 0), SIGSEGV);  // closed: three failures are answered again
  run_for(10s);
  BOOST_TEST(launches() >= tried + 2u);
  end();
}

BOOST_FIXTURE_TEST_CASE(cron_runs_each_hour_and_never_twice_at_once, world) {
  std::map<std::string, unsigned> runs;
  on_launch = [&](const simulated_launch& l) {
    process_script s;
    s.ready_after.reset();
    s.exits_after = ++runs[l.pool] == 3 ? 90min : 5min;  // the third takes longer than its hour
    return s;
  };
  start(cron);
  run_for(30min);
  BOOST_TEST(runs["migrate"] == 1u);
  BOOST_TEST(runs["clean"] == 0u);
  run_for(2h);
  BOOST_TEST(runs["clean"] == 2u);
  run_for(4h);
  BOOST_TEST(runs["clean"] == 5u);  // one hour was left out
  BOOST_TEST(runs["migrate"] == 1u);
  end();
}

BOOST_FIXTURE_TEST_CASE(canary_stops_what_the_health_check_does_not_like, world) {
  unsigned errors = 0;
  start([&](auto& self) { return canary(self, [&] { return errors; }); });
  run_for(1s);
  send(SIGHUP);
  run_for(30s);
  errors = 5;
  run_for(5s);
  BOOST_TEST(noted("the old code serves on") == 1u);
  BOOST_TEST(ready("web") == 8u);
  BOOST_TEST(launches() == 9u);  // one worker was tried
  for (auto& p : processes()) BOOST_TEST(p.generation == 1u);
  errors = 0;
  send(SIGHUP);
  run_for(2min);
  BOOST_TEST(noted("the new code serves") == 1u);
  for (auto& p : processes()) BOOST_TEST(p.generation == 3u);
  send(SIGUSR2);
  run_for(2min);
  for (auto& p : processes()) BOOST_TEST(p.generation == 1u);
  end();
}

BOOST_FIXTURE_TEST_CASE(pair_lives_and_dies_together, world) {
  start(pair);
  run_for(1s);
  auto sidecar = pid_of("sidecar", 0);
  auto app = pid_of("app", 0);
  BOOST_TEST((sidecar > 0 && app > sidecar));  // started from left to right
  kill(sidecar);
  run_for(1s);
  BOOST_TEST(pid_of("sidecar", 0) > app);
  BOOST_TEST(pid_of("app", 0) > pid_of("sidecar", 0));
  run_for(90s);
  BOOST_TEST(noted("both are well") == 1u);
  end();
}

BOOST_FIXTURE_TEST_CASE(pair_gives_up_beyond_its_intensity, world) {
  on_launch = [](const simulated_launch& l) {
    process_script s;
    if (l.pool != "app") return s;
    s.exits_after = 2s;
    s.exit_with = exit_status::exited(3);
    return s;
  };
  start(pair);
  BOOST_TEST(run() == 1);
  BOOST_TEST(processes().empty());
}

BOOST_FIXTURE_TEST_CASE(tree_restarts_a_pair_and_ends_when_that_fails_too_often, world) {
  start(app_and_sidecar);
  run_for(1s);
  BOOST_TEST(has("app"));
  BOOST_TEST(has("sidecar"));
  run_for(1min);
  BOOST_TEST(noted("still here") == 1u);
  // The sidecar goes with the app, three times; the fourth restarts the pair, once.
  auto alone = pid_of("sidecar", 0);
  unsigned restarts = 0;
  while (!exit_code() && restarts < 20) {
    kill(pid_of("app", 0), SIGSEGV);
    ++restarts;
    run_for(1s);
    if (exit_code()) break;
    BOOST_TEST(pid_of("sidecar", 0) != alone);
    alone = pid_of("sidecar", 0);
  }
  BOOST_TEST(restarts == 8u);
  BOOST_TEST(exit_code().value() == 1);
  BOOST_TEST(processes().empty());
}

BOOST_FIXTURE_TEST_CASE(tree_stops_in_order, world) {
  start(app_and_sidecar);
  run_for(1s);
  end();
}

BOOST_AUTO_TEST_SUITE_END()
