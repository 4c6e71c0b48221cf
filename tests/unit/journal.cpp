#include "supervisor/journal.hpp"

#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <csignal>
#include <deque>
#include <set>

#include "supervisor/rollout.hpp"

using namespace supervisor;
using namespace std::chrono_literals;
using records = ::supervisor::journal;  // the suite has the plain name

namespace {

constexpr time_point start{1h};

struct clocked {
  time_point now = start;
  records log{[this] { return std::pair(now, wall_time(now.time_since_epoch())); }};

  std::uint64_t note(const std::string& text) {
    event e(event_kind::note);
    e.text = text;
    return log.record(std::move(e));
  }
};

event of_worker(event_kind kind) {
  event e(kind);
  e.pool = "http";
  e.slot_id = 5;
  e.slot = 0;
  e.generation = 1;
  e.pid = 4711;
  return e;
}

event of_pool(event_kind kind) {
  event e(kind);
  e.pool = "http";
  return e;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(journal)

BOOST_FIXTURE_TEST_CASE(events_get_ids_times_and_causes, clocked) {
  std::vector<event> seen;
  auto sink = log.subscribe([&](const event& e) { seen.push_back(e); });
  auto first = note("one");
  now += 5s;
  {
    records::because scope(log, first);
    BOOST_TEST(note("two") == 2u);
    event own(event_kind::note);
    own.cause = 77;
    log.record(std::move(own));
    records::because inner(log, 2);
    note("four");
  }
  note("five");
  BOOST_REQUIRE(seen.size() == 5u);
  for (std::size_t i = 0; i < 5; ++i) BOOST_TEST(seen[i].id == i + 1);
  BOOST_TEST(seen[0].cause == 0u);
  BOOST_TEST(seen[1].cause == 1u);
  BOOST_TEST(seen[2].cause == 77u);
  BOOST_TEST(seen[3].cause == 2u);
  BOOST_TEST(seen[4].cause == 0u);
  BOOST_TEST((seen[0].at == start));
  BOOST_TEST((seen[1].at == start + 5s));
  BOOST_TEST((seen[1].wall.time_since_epoch() == (start + 5s).time_since_epoch()));
}

BOOST_FIXTURE_TEST_CASE(a_sink_gets_events_while_it_is_subscribed, clocked) {
  unsigned seen = 0;
  note("before");
  auto sink = log.subscribe([&](const event&) { ++seen; });
  note("during");
  sink.reset();
  note("after");
  BOOST_TEST(seen == 1u);
}

BOOST_AUTO_TEST_CASE(a_subscription_may_outlive_the_journal) {
  std::shared_ptr<void> sink;
  {
    clocked short_lived;
    sink = short_lived.log.subscribe([](const event&) {});
  }
  sink.reset();
}

BOOST_FIXTURE_TEST_CASE(what_a_sink_records_comes_after_in_every_sink, clocked) {
  std::vector<std::uint64_t> early, late;
  auto one = log.subscribe([&](const event& e) {
    early.push_back(e.id);
    if (e.text == "outer") {
      BOOST_TEST(note("inner") == 2u);
      BOOST_TEST(note("second") == 3u);
    }
  });
  auto two = log.subscribe([&](const event& e) { late.push_back(e.id); });
  note("outer");
  BOOST_TEST((early == std::vector<std::uint64_t>{1, 2, 3}));
  BOOST_TEST((late == early));
}

BOOST_FIXTURE_TEST_CASE(sinks_may_come_and_go_within_sinks, clocked) {
  std::vector<std::string> seen;
  std::shared_ptr<void> self, other, fresh;
  self = log.subscribe([&](const event& e) {
    seen.push_back("self " + e.text);
    other.reset();
    fresh = log.subscribe([&](const event& n) { seen.push_back("fresh " + n.text); });
    self.reset();
    seen.push_back("still here");
  });
  other = log.subscribe([&](const event& e) { seen.push_back("other " + e.text); });
  note("a");
  note("b");
  BOOST_TEST((seen == std::vector<std::string>{"self a", "still here", "fresh b"}));
}

BOOST_AUTO_TEST_CASE(names) {
  for (int i = 0; i <= static_cast<int>(severity::error); ++i) {
    auto s = static_cast<severity>(i);
    BOOST_TEST((parse_severity(to_string(s)) == s));
  }
  BOOST_TEST(to_string(severity::warning) == "warning");
  BOOST_TEST(!parse_severity("loud"));
  std::set<std::string_view> kinds;
  for (int i = 0; i <= static_cast<int>(event_kind::upgrade_rolled_back); ++i)
    kinds.insert(to_string(static_cast<event_kind>(i)));
  BOOST_TEST(kinds.size() == static_cast<std::size_t>(event_kind::upgrade_rolled_back) + 1);
  BOOST_TEST(!kinds.contains("unknown"));
  BOOST_TEST(to_string(event_kind::worker_exited) == "worker.exited");
}

BOOST_AUTO_TEST_CASE(severities) {
  auto exit = of_worker(event_kind::worker_exited);
  for (auto [why, level] : {std::pair(exit_cause::recycled, severity::info),
                            std::pair(exit_cause::finished, severity::info),
                            std::pair(exit_cause::crash, severity::warning),
                            std::pair(exit_cause::lost, severity::warning),
                            std::pair(exit_cause::launch_failure, severity::error)}) {
    exit.why = why;
    BOOST_TEST((severity_of(exit) == level), to_string(why));
  }
  BOOST_TEST((severity_of(of_worker(event_kind::worker_launched)) == severity::debug));
  BOOST_TEST((severity_of(of_worker(event_kind::worker_ready)) == severity::info));
  BOOST_TEST((severity_of(of_pool(event_kind::rollout_failed)) == severity::error));
  BOOST_TEST((severity_of(event(event_kind::supervisor_started)) == severity::notice));
}

BOOST_AUTO_TEST_CASE(exits_are_told_with_what_follows) {
  auto e = of_worker(event_kind::worker_exited);
  e.exit = exit_status::signalled(SIGKILL);
  e.why = exit_cause::killed;
  e.deadline = start;
  BOOST_TEST(describe(e, start) ==
             "http.0 gen 1 pid 4711 exited: SIGKILL, killed; next start at once");
  e.exit = exit_status::exited(70);
  e.why = exit_cause::crash;
  const std::pair<duration, const char*> waits[] = {{7s, "7 s"},
                                                    {2500ms, "2.5 s"},
                                                    {1ns, "1 ms"},
                                                    {750ms, "750 ms"},
                                                    {60s, "1 min"},
                                                    {75s, "1 min 15 s"},
                                                    {2h + 5min, "2 h 5 min"},
                                                    {59'900ms, "1 min"}};
  for (auto& [wait, words] : waits) {
    e.deadline = start + wait;
    BOOST_TEST(describe(e, start) ==
               "http.0 gen 1 pid 4711 exited: exit 70, crash; backing off, "
               "next start in " +
                   std::string(words));
  }
  e.deadline = never;
  e.why = exit_cause::scaled_down;
  e.exit = exit_status::exited(0);
  BOOST_TEST(describe(e, start) == "http.0 gen 1 pid 4711 exited: exit 0, scaled down");
  e.pid = 0;
  e.why = exit_cause::launch_failure;
  e.launch = launch_error{"exec", ENOENT, "/usr/bin/nope"};
  e.deadline = start + 1s;
  BOOST_TEST(describe(e, start) ==
             "http.0 gen 1 did not start: exec /usr/bin/nope: No such file or directory; backing "
             "off, next start in 1 s");
}

BOOST_AUTO_TEST_CASE(exits_are_told_with_the_verdict) {
  auto e = of_worker(event_kind::worker_exited);
  e.exit = exit_status::exited(70);
  e.why = exit_cause::crash;
  auto told = [&] {
    auto text = describe(e, start);
    return text.substr(text.find(';'));
  };
  e.deadline = start + 30s;
  e.next = verdict::trial;
  BOOST_TEST(told() == "; half-open, next trial in 30 s");
  e.deadline = never;
  e.next = verdict::finished;
  BOOST_TEST(told() == "; finished");
  e.next = verdict::given_up;
  BOOST_TEST(told() == "; given up");
  BOOST_TEST((severity_of(e) == severity::error));
  e.next = verdict::escalated;
  e.number = 6;
  BOOST_TEST(told() == "; given up after 6 failures");
}

BOOST_AUTO_TEST_CASE(reports_are_told_with_the_last_line) {
  auto e = of_worker(event_kind::worker_reported);
  exit_report report;
  report.status = exit_status::exited(1);
  report.uptime = 90s;
  report.user_time = 120ms;
  report.max_rss_kib = 12'800;
  report.last_output = "starting\nbind: Address already in use\n";
  e.report = std::make_shared<exit_report>(report);
  BOOST_TEST(describe(e, start) ==
             "http.0 gen 1 pid 4711 reaped: exit 1, up 1 min 30 s, CPU 120 ms user 0 ms system, at "
             "most 12.5 MiB; last output: bind: Address already in use");
}

BOOST_AUTO_TEST_CASE(one_line_for_each_kind) {
  struct row {
    const char* words;
    event what;
  };
  std::deque<row> table;  // references stay valid as it grows
  auto add = [&](const char* words, event what) -> event& {
    table.push_back({words, std::move(what)});
    return table.back().what;
  };
  add("prefork 1.0 started", event(event_kind::supervisor_started)).text = "prefork 1.0";
  add("stopping: SIGTERM", event(event_kind::supervisor_stopping)).text = "SIGTERM";
  auto& serves_on =
      add("stopping: gracefully, serves on for 5 s", event(event_kind::supervisor_stopping));
  serves_on.text = "gracefully";
  serves_on.deadline = start + 5s;
  add("stopped, exit code 1", event(event_kind::supervisor_stopped)).count = 1;
  auto& abandoned = add(
      "destroyed without a stop: 1 worker left alone, kept by nobody (web.0 pid 12); to end them, "
      "await stop_all() or async_stop() before",
      event(event_kind::supervisor_abandoned));
  abandoned.count = 1;
  abandoned.text = "web.0 pid 12";
  add("listening on http=127.0.0.1:80", event(event_kind::listener_opened)).text =
      "http=127.0.0.1:80";
  add("closes http=127.0.0.1:80 when the last worker that has it is gone",
      event(event_kind::listener_closed))
      .text = "http=127.0.0.1:80";
  auto& signal =
      add("received SIGTTIN from the kernel, 3 times", event(event_kind::signal_received));
  signal.number = SIGTTIN;
  signal.count = 3;
  signal.pid = ::supervisor::the_kernel;
  auto& hup = add("received SIGHUP from pid 12, uid 7", event(event_kind::signal_received));
  hup.number = SIGHUP;
  hup.pid = 12;
  hup.uid = 7;
  auto& unhandled = add("SIGUSR2 from several processes has no handler, ignored",
                        event(event_kind::signal_unhandled));
  unhandled.number = SIGUSR2;
  unhandled.pid = ::supervisor::several_senders;
  auto& failed = add("the handler of SIGHUP failed: oh", event(event_kind::handler_failed));
  failed.number = SIGHUP;
  failed.text = "oh";
  add("command: scale 3 by uid 0", event(event_kind::command_received)).text = "scale 3 by uid 0";
  auto& opened = add("http gen 1 opened: 2 workers of nginx", of_pool(event_kind::pool_opened));
  opened.count = 2;
  opened.generation = 1;
  opened.text = "nginx";
  add("http resized to 1 worker", of_pool(event_kind::pool_resized)).count = 1;
  add("http drained: all workers leave, the listeners stay", of_pool(event_kind::pool_drained));
  add("http resumed", of_pool(event_kind::pool_resumed));
  add("http stopping quickly", of_pool(event_kind::pool_stopping)).count = 1;
  add("http stopping", of_pool(event_kind::pool_stopping));
  add("http stopped, no worker is left", of_pool(event_kind::pool_stopped));
  add("http waits for db: ready", of_pool(event_kind::pool_held)).text = "db: ready";
  add("http waits no longer", of_pool(event_kind::pool_released));
  add("http has given up: slot 0: exit 1", of_pool(event_kind::pool_escalated)).text =
      "slot 0: exit 1";
  rollout_options how;
  how.canary(2).bake(30s).batch(4);
  auto& begun = add("http gen 2 rollout started: canary 2, bake 30 s, then 4 at a time",
                    of_pool(event_kind::rollout_started));
  begun.generation = 2;
  begun.plan = std::make_shared<const rollout_plan>(how.plan);
  auto of_second = [&](const char* words, event_kind kind) -> event& {
    auto& e = add(words, of_pool(kind));
    e.generation = 2;
    return e;
  };
  of_second("http gen 2 the canary is ready, and watched for 30 s", event_kind::rollout_baking)
      .deadline = start + 30s;
  of_second("http gen 2 found unhealthy: 12 % errors", event_kind::rollout_judged).text =
      "12 % errors";
  of_second("http gen 2 the canary has passed", event_kind::rollout_baked);
  of_second("http gen 2 rollout paused", event_kind::rollout_paused);
  of_second("http gen 2 rollout resumed", event_kind::rollout_resumed);
  add("http gen 2 program opened", of_pool(event_kind::program_opened)).generation = 2;
  add("http gen 2 rollout committed: every worker is of it", of_pool(event_kind::rollout_committed))
      .generation = 2;
  auto& back = add("http gen 2 rollout failed, the old generation serves on: exit 70",
                   of_pool(event_kind::rollout_failed));
  back.generation = 2;
  back.text = "exit 70";
  auto& mold = add("http gen 2 pid 99 mold started", of_pool(event_kind::mold_started));
  mold.generation = 2;
  mold.pid = 99;
  auto& gone = add("http mold exited: exit 1; replaced", of_pool(event_kind::mold_exited));
  gone.exit = exit_status::exited(1);
  gone.text = "replaced";
  add("http mold ended, no longer needed", of_pool(event_kind::mold_exited)).why =
      exit_cause::stopped;
  auto& stuck =
      add("http mold exited: SIGKILL, it did not answer", of_pool(event_kind::mold_exited));
  stuck.why = exit_cause::hang;
  stuck.exit = exit_status::signalled(SIGKILL);
  const std::string http = "http.0 gen 1 pid 4711 ";
  add("slot added", of_worker(event_kind::slot_added));
  add("slot added, as a replacement", of_worker(event_kind::slot_added)).number = 3;
  add("slot retiring: scaled down", of_worker(event_kind::slot_retiring)).why =
      exit_cause::scaled_down;
  add("slot removed", of_worker(event_kind::slot_removed));
  add("launching", of_worker(event_kind::worker_launched));
  add("started", of_worker(event_kind::worker_started));
  add("ready", of_worker(event_kind::worker_ready));
  add("says: warm", of_worker(event_kind::worker_status)).text = "warm";
  add("reloading, and serves on", of_worker(event_kind::worker_reloading));
  add("reloaded", of_worker(event_kind::worker_reloaded));
  auto& stores = add("stores 'conn'; 3 stored", of_worker(event_kind::worker_stored));
  stores.text = "stores 'conn'";
  stores.count = 3;
  add("to be recycled: 1000 requests", of_worker(event_kind::worker_spent)).text = "1000 requests";
  auto& ailing = add("fails its probe, 2 of 3: tcp://:80: Connection refused",
                     of_worker(event_kind::worker_ailing));
  ailing.count = 2;
  ailing.number = 3;
  ailing.text = "tcp://:80: Connection refused";
  add("passes its probe again: tcp://:80", of_worker(event_kind::worker_recovered)).text =
      "tcp://:80";
  auto& stopping = add("told to leave, replaced: sent SIGTERM, next step in 30 s",
                       of_worker(event_kind::worker_stopping));
  stopping.why = exit_cause::replaced;
  stopping.number = SIGTERM;
  stopping.deadline = start + 30s;
  auto& hangs = add("told to leave, request timeout in GET /slow, 12 s in: sent SIGABRT",
                    of_worker(event_kind::worker_stopping));
  hangs.why = exit_cause::request_timeout;
  hangs.number = SIGABRT;
  hangs.text = "GET /slow, 12 s in";
  add("has not left: sent SIGKILL", of_worker(event_kind::worker_escalated)).number = SIGKILL;
  auto& held = add("has not left, in GET /slow, 30 s in: sent SIGKILL",
                   of_worker(event_kind::worker_escalated));
  held.number = SIGKILL;
  held.text = "GET /slow, 30 s in";
  add("asks for time, and has 20 s", of_worker(event_kind::worker_extended)).deadline = start + 20s;
  add("sent SIGUSR1", of_worker(event_kind::worker_signalled)).number = SIGUSR1;
  add("hello", event(event_kind::note)).text = "hello";
  add("upgrade: trying the program that is on disk now", event(event_kind::upgrade_started));
  add("upgrade failed, this program goes on: exit 3", event(event_kind::upgrade_failed)).text =
      "exit 3";
  add("upgraded to x", event(event_kind::upgrade_committed)).text = "x";
  add("upgrade rolled back, the program before it goes on: SIGSEGV",
      event(event_kind::upgrade_rolled_back))
      .text = "SIGSEGV";
  auto of_group = [](event_kind kind, const char* member = "") {
    event e(kind);
    e.group = "app";
    e.member = member;
    return e;
  };
  auto& tree = add("group app opened: one_for_all, 2 children", of_group(event_kind::group_opened));
  tree.count = 2;
  tree.text = "one_for_all";
  add("group app started", of_group(event_kind::group_started));
  auto& again = add("group app restarting because of db: exit 70 (crash); 1 restart in the period",
                    of_group(event_kind::group_restarting, "db"));
  again.count = 1;
  again.text = "exit 70 (crash)";
  add("group app stopping", of_group(event_kind::group_stopping));
  add("group app stopping: enough", of_group(event_kind::group_stopping)).text = "enough";
  add("group app stopping quickly from now on", of_group(event_kind::group_hastened));
  add("group app stopped, nothing of it runs", of_group(event_kind::group_stopped));
  add("group app released, its children go on without it", of_group(event_kind::group_released));
  add("group app child db: added, a process", of_group(event_kind::member_added, "db")).text =
      "process";
  add("group app child db: starting", of_group(event_kind::member_starting, "db"));
  add("group app child db: started", of_group(event_kind::member_started, "db"));
  add("group app child db: told to leave", of_group(event_kind::member_stopping, "db"));
  add("group app child db: ended, returned", of_group(event_kind::member_ended, "db")).text =
      "returned";
  add("group app child db: not started again", of_group(event_kind::member_rests, "db"));
  add("group app child db: to be stopped", of_group(event_kind::member_stop_asked, "db"));
  add("group app child db: to be started", of_group(event_kind::member_start_asked, "db"));
  add("group app child db: removed", of_group(event_kind::member_removed, "db"));

  std::set<event_kind> told{event_kind::worker_exited, event_kind::worker_reported};
  for (auto& [words, what] : table) {
    told.insert(what.kind);
    BOOST_TEST(describe(what, start) == (what.slot_id ? http : std::string()) + words);
  }
  BOOST_TEST(told.size() == static_cast<std::size_t>(event_kind::upgrade_rolled_back) + 1);
}

BOOST_AUTO_TEST_SUITE_END()
