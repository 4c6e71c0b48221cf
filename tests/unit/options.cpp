// The command line of prefork, as data.
#include "options.hpp"

#include <sys/resource.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <ostream>

#include "values.hpp"

BOOST_AUTO_TEST_SUITE(options)

using namespace std::chrono_literals;
using strings = std::vector<std::string>;

namespace {

app::run_request run_of(strings arguments) {
  arguments.insert(arguments.begin(), "run");
  auto parsed = app::parse(arguments);
  if (auto* told = std::get_if<app::message>(&parsed)) BOOST_FAIL(told->text);
  return std::get<app::run_request>(parsed);
}

app::control_request control_of(strings arguments) {
  auto parsed = app::parse(arguments);
  if (auto* told = std::get_if<app::message>(&parsed)) BOOST_FAIL(told->text);
  return std::get<app::control_request>(parsed);
}

boost::json::value body_of(strings arguments) {
  return boost::json::parse(control_of(std::move(arguments)).body);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_plain_run_is_the_demo_on_8080_with_two_workers) {
  auto run = run_of({});
  BOOST_TEST(run.what.is_function());
  BOOST_TEST(run.prefork.workers == 2u);
  BOOST_REQUIRE(run.prefork.listeners.size() == 1u);
  BOOST_TEST(run.prefork.listeners[0].name == "http");
  BOOST_TEST(run.prefork.listeners[0].address() == "127.0.0.1:8080");
  BOOST_TEST(run.run.name == "prefork");
  BOOST_TEST(run.run.control == supervisor::default_control_path("prefork"));
  BOOST_CHECK(run.what.stop.front().wait == 30s);
  BOOST_TEST(run.what.stop.front().signal == SIGTERM);
}

BOOST_AUTO_TEST_CASE(everything_can_be_said) {
  auto run = run_of({"-w",
                     "7",
                     "-b",
                     ":8000",
                     "-b",
                     "admin=unix:/tmp/a.sock",
                     "--name",
                     "shop",
                     "--graceful-timeout",
                     "1.5",
                     "--boot-timeout",
                     "500ms",
                     "--drain-delay",
                     "2m",
                     "--stop-signal",
                     "QUIT",
                     "--user",
                     "nobody",
                     "--group",
                     "nogroup",
                     "--umask",
                     "027",
                     "--chdir",
                     "/tmp",
                     "--env",
                     "A=1",
                     "--env",
                     "B=x=y",
                     "--limit",
                     "nofile=100:200",
                     "--limit",
                     "core=unlimited",
                     "--ready",
                     "alive:0.25",
                     "--restart",
                     "transient",
                     "--restart",
                     "exit=78:give-up",
                     "--start-rate",
                     "20/50",
                     "--control",
                     "/tmp/c.sock",
                     "--pidfile",
                     "/tmp/p",
                     "--log-level",
                     "debug",
                     "--log-format",
                     "json",
                     "--log-file",
                     "/tmp/l",
                     "--",
                     "sleep",
                     "-1",
                     "--",
                     "{fd:admin}"});
  BOOST_TEST(run.prefork.workers == 7u);
  BOOST_REQUIRE(run.prefork.listeners.size() == 2u);
  BOOST_TEST(run.prefork.listeners[0].name == "http");
  BOOST_TEST(run.prefork.listeners[1].name == "admin");
  BOOST_CHECK(run.what.stop.front().wait == 1500ms);
  BOOST_TEST(run.what.stop.front().signal == SIGQUIT);
  BOOST_CHECK(run.what.boot_timeout == 500ms);
  BOOST_CHECK(run.prefork.drain_delay == 2min);
  BOOST_TEST(run.what.user == "nobody");
  BOOST_TEST(run.what.group == "nogroup");
  BOOST_TEST(*run.what.umask == mode_t(027));
  BOOST_TEST(run.what.directory == "/tmp");
  BOOST_REQUIRE(run.what.environment.size() == 2u);
  BOOST_TEST(run.what.environment[1].second == "x=y");
  BOOST_REQUIRE(run.what.limits.size() == 2u);
  BOOST_TEST(run.what.limits[0].soft == 100u);
  BOOST_TEST(run.what.limits[0].hard == 200u);
  BOOST_TEST(run.what.limits[1].soft == RLIM_INFINITY);
  BOOST_CHECK(run.what.ready == supervisor::readiness::alive);
  BOOST_CHECK(run.what.alive_for == 250ms);
  BOOST_CHECK(run.what.restart.type == supervisor::restart_type::transient);
  BOOST_TEST(run.what.restart.rules.size() == 1u);
  BOOST_TEST(run.what.starts.burst == 50u);
  BOOST_TEST(run.run.control == "/tmp/c.sock");
  BOOST_TEST(run.run.pidfile == "/tmp/p");
  BOOST_CHECK(run.run.log.level == supervisor::severity::debug);
  BOOST_TEST(run.run.log.json);
  BOOST_TEST(run.run.log.file == "/tmp/l");
  BOOST_TEST(run.what.program == "sleep");
  BOOST_TEST((run.what.arguments == strings{"-1", "--", "{fd:admin}"}),
             "a command's own -- and options are its own");
}

BOOST_AUTO_TEST_CASE(the_last_of_an_option_given_twice_counts) {
  BOOST_TEST(run_of({"-w", "1", "-w", "3"}).prefork.workers == 3u);
  BOOST_TEST(control_of({"status", "--name", "a", "--name", "b"}).name == "b");
}

BOOST_AUTO_TEST_CASE(where_output_goes_and_how_a_stop_goes_on) {
  auto run = run_of({"--stdout", "./out", "--stderr", "null", "--no-new-privileges", "--stop-then",
                     "INT:5", "--stop-then", "ABRT:1m"});
  BOOST_CHECK((run.what.out == supervisor::output{supervisor::output::to::file, "./out"}));
  BOOST_CHECK(run.what.err.where == supervisor::output::to::null);
  BOOST_TEST(run.what.no_new_privileges);
  BOOST_REQUIRE(run.what.stop.size() == 3u);
  BOOST_TEST(run.what.stop[1].signal == SIGINT);
  BOOST_CHECK(run.what.stop[2].wait == 60s);
}

BOOST_AUTO_TEST_CASE(auto_is_at_least_one_worker) {
  BOOST_TEST(run_of({"-w", "auto"}).prefork.workers >= 1u);
}

BOOST_AUTO_TEST_CASE(durations) {
  struct {
    const char* text;
    std::chrono::nanoseconds value;
  } const good[] = {{"0", 0s},        {"30", 30s},  {"1.5", 1500ms}, {"500ms", 500ms},
                    {"250us", 250us}, {"2m", 120s}, {"1h", 3600s},   {"0.25s", 250ms}};
  for (auto& row : good) {
    BOOST_TEST_CONTEXT(row.text) {
      auto value = app::parse_duration(row.text);
      BOOST_REQUIRE(value.has_value());
      BOOST_CHECK(*value == row.value);
    }
  }
  for (auto* text : {"", "x", "-1", "1x", "1 s", "nan", "inf", "1e99", "ms", "30s "})
    BOOST_TEST(!app::parse_duration(text).has_value(), "'" << text << "' is no duration");
}

BOOST_AUTO_TEST_CASE(scale_takes_absolute_and_relative_numbers) {
  struct {
    strings arguments;
    const char* member;
    int value;
  } const rows[] = {{{"scale", "4"}, "count", 4},
                    {{"scale", "+3"}, "delta", 3},
                    {{"scale", "-1"}, "delta", -1},
                    {{"scale", "--", "-1"}, "delta", -1},
                    {{"scale", "-1", "--name", "shop"}, "delta", -1},
                    {{"scale", "--name", "shop", "-12"}, "delta", -12}};
  for (auto& row : rows) {
    auto body = body_of(row.arguments);
    BOOST_TEST(body.at(row.member).as_int64() == row.value);
    BOOST_TEST(body.as_object().size() == 1u);
  }
}

BOOST_AUTO_TEST_CASE(the_other_verbs) {
  auto status = control_of({"status", "-o", "json", "--control", "/tmp/x.sock"});
  BOOST_CHECK(status.what == app::control_request::verb::status);
  BOOST_CHECK(status.output == app::control_request::format::json);
  BOOST_TEST(status.control == "/tmp/x.sock");

  BOOST_CHECK(control_of({"reload", "--timeout", "5"}).timeout == 5s);
  BOOST_TEST(body_of({"restart", "3", "--pool", "web"}).at("slot").as_int64() == 3);
  auto signal = body_of({"signal", "0", "usr1"});
  BOOST_TEST(signal.at("signal").as_string() == "SIGUSR1");
  BOOST_TEST(body_of({"stop"}).at("quick").as_bool() == false);
  BOOST_TEST(body_of({"stop", "--quick"}).at("quick").as_bool() == true);
  auto top = control_of({"top", "-d", "2.5"});
  BOOST_CHECK(top.what == app::control_request::verb::top);
  BOOST_CHECK(top.period == 2500ms);
  BOOST_CHECK(control_of({"top"}).period == 1s);
  BOOST_CHECK(run_of({"--request-timeout", "90"}).what.request_timeout == 90s);
  BOOST_TEST(control_of({"status", "--name", "shop"}).control ==
             supervisor::default_control_path("shop"));
}

BOOST_AUTO_TEST_CASE(how_a_reload_goes) {
  auto plan = run_of({"--canary", "2", "--bake", "30", "--batch", "4", "--keep-generations", "3",
                      "--max-unavailable", "1", "--progress-deadline", "5m"})
                  .prefork.rollouts.plan;
  BOOST_TEST(plan.canary == 2u);
  BOOST_CHECK(plan.bake == 30s);
  BOOST_TEST(plan.batch == 4u);
  BOOST_TEST(plan.max_unavailable == 1u);
  BOOST_CHECK(plan.progress_deadline == 5min);
  BOOST_TEST(plan.keep_generations == 3u);
  BOOST_CHECK(run_of({}).prefork.rollouts.plan == supervisor::rollout_plan());
  auto checked = run_of({"--bake-check", "http://127.0.0.1:8080/healthz"}).prefork.rollouts;
  BOOST_TEST(checked.probe.value().str() == "http://127.0.0.1:8080/healthz");
  BOOST_TEST(static_cast<bool>(checked.health));
  BOOST_CHECK(checked.plan.ask_every == 1s);

  // Only what is said: the master knows the rest.
  BOOST_TEST(body_of({"reload"}).as_object().empty());
  auto body = body_of({"reload", "--bake", "1500ms", "--canary", "0"});
  BOOST_TEST(body.at("bake_s").as_double() == 1.5);
  BOOST_TEST(body.at("canary").to_number<int>() == 0);
  BOOST_TEST(body.as_object().size() == 2u);
  body = body_of({"reload", "--bake-check", "tcp://127.0.0.1:1"});
  BOOST_TEST(body.at("bake_check").as_string() == "tcp://127.0.0.1:1");
  auto undo = control_of({"rollout", "undo", "--to", "3", "--batch", "2"});
  BOOST_TEST(undo.action == "undo");
  BOOST_TEST(body_of({"rollout", "undo", "--to", "3", "--batch", "2"}).at("to").as_int64() == 3);
  BOOST_TEST(body_of({"rollout", "abort", "--why", "slow"}).at("why").as_string() == "slow");
}

BOOST_AUTO_TEST_CASE(mistakes_are_named) {
  struct {
    strings arguments;
    const char* named;
  } const rows[] = {
      {{}, "a command is missing"},
      {{"runn"}, "runn"},
      {{"run", "--wokers", "3"}, "--wokers"},
      {{"run", "extra", "more"}, "\"extra\"; a command to run comes after --"},
      {{"run", "-w"}, "--workers: a value is missing"},
      {{"run", "--timeout", "1", "--", "x"}, "--timeout"},
      {{"run", "--"}, "after -- comes a command"},
      {{"run", "-w", "0"}, "\"0\""},
      {{"run", "-w", "many"}, "\"many\""},
      {{"run", "-b", "nonsense"}, "nonsense"},
      {{"run", "-b", ":1", "-b", ":2"}, "needs a name"},
      {{"run", "-b", "a=:1", "-b", "a=:2"}, "two listeners are named a"},
      {{"run", "--graceful-timeout", "soon"}, "--graceful-timeout: \"soon\""},
      {{"run", "--stop-signal", "NOPE"}, "\"NOPE\""},
      {{"run", "--umask", "9"}, "\"9\""},
      {{"run", "--env", "A"}, "\"A\""},
      {{"run", "--limit", "nofile"}, "\"nofile\""},
      {{"run", "--ready", "maybe"}, "\"maybe\""},
      {{"run", "--ready", "fd:x", "--", "/bin/true"}, "\"fd:x\" is not fd:NUMBER"},
      {{"run", "--ready", "fd:2", "--", "/bin/true"}, "not between 3 and 255"},
      {{"run", "--ready", "fd:4"}, "is for commands"},
      {{"run", "--stop-then", "INT"}, "\"INT\" is not SIGNAL:TIME"},
      {{"run", "--stdout", "file"}, "--stdout: \"file\""},
      {{"run", "--limit", "nofiel=3"}, "--limit: unknown limit 'nofiel'"},
      {{"run", "--boot-timeout", "0"}, "--boot-timeout: boot_timeout must be more than zero"},
      {{"run", "--ready", "alive:x"}, "\"x\""},
      {{"run", "--ready", "alivex"}, "\"alivex\""},
      {{"run", "--restart", "always"}, "--restart: \"always\""},
      {{"run", "--start-rate", "0"}, "--start-rate: \"0\""},
      {{"run", "--ready", "http://127.0.0.1/"}, "no port"},
      {{"run", "--liveness", "ping"}, "'ping': write http://ADDR/PATH"},
      {{"run", "--liveness", "heartbeat", "--liveness-period", "0"}, "period must be more"},
      {{"run", "--liveness", "heartbeat", "--liveness-failures", "0"},
       "--liveness-failures: \"0\""},
      {{"run", "--liveness-period", "1"}, "there is no liveness probe"},
      {{"run", "--scale", "auto"}, "--scale: \"auto\" is not static"},
      {{"run", "--scale", "static:1"}, "\"static:1\""},
      {{"run", "--scale", "spare"}, "\"spare\""},
      {{"run", "--scale", "spare:3"}, "\"spare:3\" is not spare:MIN-MAX"},
      {{"run", "--scale", "spare:3-2"}, "\"spare:3-2\""},
      {{"run", "--scale", "spare:0-2"}, "\"spare:0-2\""},
      {{"run", "--scale", "spare:3-4"}, "3 idle workers are more than the 2 there may be"},
      {{"run", "--scale", "demand:soon"}, "\"soon\""},
      {{"run", "--scale", "backlog:x"}, "\"backlog:x\""},
      {{"run", "--max-requests", "0"}, "--max-requests: \"0\""},
      {{"run", "--max-requests", "9", "--", "true"}, "may send X_RECYCLE=1"},
      {{"run", "--max-age", "old"}, "--max-age: \"old\""},
      {{"run", "--max-memory", "1.5G"}, "--max-memory: \"1.5G\""},
      {{"run", "--max-memory", "99999999T"}, "--max-memory"},
      {{"run", "--name", "a/b"}, "\"a/b\""},
      {{"run", "--name", ".."}, "\"..\""},
      {{"run", "--log-level", "loud"}, "\"loud\""},
      {{"run", "--log-format", "xml"}, "\"xml\""},
      {{"run", "--", "x", "{fd:admin}"}, "no listener is named admin"},
      {{"status", "-o", "yaml"}, "\"yaml\""},
      {{"top", "-d", "10ms"}, "--delay"},
      {{"run", "--request-timeout", "1", "--", "true"}, "--request-timeout"},
      {{"scale"}, "count"},
      {{"scale", "more"}, "\"more\""},
      {{"scale", ""}, "\"\""},
      {{"scale", "+"}, "\"+\""},
      {{"scale", "0"}, "from 1 to 10000"},
      {{"scale", "10001"}, "from 1 to 10000"},
      {{"scale", "++1"}, "\"++1\""},
      {{"scale", "+-1"}, "\"+-1\""},
      {{"run", "--canary", "0", "--bake", "1"}, "a bake and a health check need a canary"},
      {{"run", "--batch", "0"}, "--batch: \"0\""},
      {{"reload", "--canary", "some"}, "--canary: \"some\""},
      {{"run", "--canary", "0", "--bake-check", "tcp://:1"}, "--bake-check: a bake"},
      {{"run", "--bake-check", "http:/x"}, "--bake-check: "},
      {{"reload", "--bake-check", "ping"}, "--bake-check: "},
      {{"run", "--recycle-jitter", "1.1"}, "--recycle-jitter: \"1.1\" is not a number from 0 to 1"},
      {{"run", "--recycle-jitter", "-0.1"}, "\"-0.1\""},
      {{"run", "--recycle-at-once", "0"}, "--recycle-at-once: \"0\""},
      {{"run", "--fd-store-max", "129"}, "--fd-store-max: \"129\" is no number up to 128"},
      {{"run", "--fd-store-max", "-1"}, "\"-1\""},
      {{"reload", "--bake", "long"}, "--bake: \"long\""},
      {{"reload", "--keep-generations", "2"}, "--keep-generations"},
      {{"rollout"}, "action"},
      {{"rollout", "back"}, "\"back\" is not status, history"},
      {{"rollout", "undo", "--to", "x"}, "--to: \"x\""},
      {{"rollout", "pause", "--to", "2"}, "rollout pause: --to is for undo"},
      {{"rollout", "status", "--bake", "2"}, "rollout status: how it is to go is for undo"},
      {{"restart"}, "slot"},
      {{"restart", "first"}, "first"},
      {{"restart", "-1"}, "\"-1\""},
      {{"restart", "1", "2"}, "\"2\"; see: prefork restart --help"},
      {{"signal", "0"}, "signal"},
      {{"signal", "0", "NOPE"}, "\"NOPE\""},
  };
  for (auto& row : rows) {
    std::string line;
    for (auto& argument : row.arguments) line += ' ' + argument;
    BOOST_TEST_CONTEXT("prefork" << line) {
      auto parsed = app::parse(row.arguments);
      auto* told = std::get_if<app::message>(&parsed);
      BOOST_REQUIRE(told);
      BOOST_TEST(told->code == 2);
      BOOST_TEST(told->text.find(row.named) != std::string::npos, told->text);
      BOOST_TEST(told->text.find('\n') == told->text.size() - 1, "one line: " << told->text);
    }
  }
}

BOOST_AUTO_TEST_CASE(how_many_workers_there_are_at_first) {
  const struct {
    const char* how;
    unsigned first;
    bool scales;
  } rows[] = {{"static", 8, false},      {"spare:2-4", 2, true}, {"demand", 0, true},
              {"demand:500ms", 0, true}, {"backlog", 1, true},   {"backlog:3", 1, true}};
  for (auto& row : rows) {
    BOOST_TEST_INFO(row.how);
    auto run = run_of({"-w", "8", "--scale", row.how});
    BOOST_TEST(run.prefork.workers == row.first);
    BOOST_TEST(static_cast<bool>(run.prefork.scale) == row.scales);
  }
}

BOOST_AUTO_TEST_CASE(ready_by_a_newline) {
  auto run = run_of({"--ready", "fd:4", "--", "/bin/true"});
  BOOST_CHECK(run.what.ready == supervisor::readiness::newline);
  BOOST_TEST(run.what.ready_descriptor.value() == 4);
}

BOOST_AUTO_TEST_CASE(how_long_workers_live_and_how_they_are_looked_after) {
  auto run = run_of({"--max-requests",
                     "1000",
                     "--max-age",
                     "2h",
                     "--max-memory",
                     "512M",
                     "--recycle-jitter",
                     "0.25",
                     "--recycle-at-once",
                     "3",
                     "--fd-store-max",
                     "0",
                     "--liveness",
                     "heartbeat",
                     "--liveness",
                     "http://127.0.0.1:{9100+slot}/up",
                     "--liveness-period",
                     "5",
                     "--liveness-timeout",
                     "200ms",
                     "--liveness-failures",
                     "2",
                     "--liveness-start",
                     "1m",
                     "--ready",
                     "tcp://unix:/tmp/x.{slot}"});
  BOOST_TEST(run.what.recycle.max_requests == 1000u);
  BOOST_CHECK(run.what.recycle.max_age == 2h);
  BOOST_TEST(run.what.recycle.max_memory == 512u << 20);
  BOOST_TEST(run.what.recycle.jitter == 0.25);
  BOOST_TEST(run.what.recycle.at_once == 3u);
  BOOST_TEST(run.what.fd_store_max == 0u);
  BOOST_REQUIRE(run.what.liveness.size() == 2u);
  auto expected = supervisor::probe::http("127.0.0.1:{9100+slot}", "/up")
                      .every(5s)
                      .within(200ms)
                      .ill_after(2)
                      .after(1min);
  BOOST_CHECK(run.what.liveness[1] == expected);
  BOOST_CHECK(run.what.ready == supervisor::readiness::probe);
  BOOST_TEST(run.what.ready_probe->str() == "tcp://unix:/tmp/x.{slot}");
  BOOST_TEST(!find_fault(run.what));
}

BOOST_AUTO_TEST_CASE(help_and_version_are_no_mistakes) {
  for (auto& arguments : {strings{"--help"}, strings{"run", "--help"}, strings{"scale", "-h"},
                          strings{"--version"}}) {
    auto parsed = app::parse(arguments);
    auto* told = std::get_if<app::message>(&parsed);
    BOOST_REQUIRE(told);
    BOOST_TEST(told->code == 0);
    BOOST_TEST(!told->text.empty());
  }
}

BOOST_AUTO_TEST_SUITE_END()
