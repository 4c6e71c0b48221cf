// Commands of the control socket, from JSON.
#include "control/command.hpp"

#include <boost/json/value.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <ostream>
#include <stdexcept>

#include "control/status.hpp"
#include "supervisor/errc.hpp"

BOOST_AUTO_TEST_SUITE(command)

using supervisor::parse_command;
using verb = supervisor::command::verb;

BOOST_AUTO_TEST_CASE(good_ones) {
  struct {
    const char* path;
    const char* body;
    const char* described;
  } const rows[] = {
      {"/scale", R"({"pool": "web", "count": 4})", "scale web 4"},
      {"/scale", R"({"delta": 1})", "scale +1"},
      {"/scale", R"({"delta": -2})", "scale -2"},
      {"/reload", "", "reload"},
      {"/reload", "{}", "reload"},
      {"/reload", R"({"bake_check": "http://127.0.0.1:80/up"})",
       "reload bake_check http://127.0.0.1:80/up"},
      {"/reload", R"({"canary": 2, "bake_s": 1.5, "batch": 4})",
       "reload canary 2 bake 1.5 s batch 4"},
      {"/reload", R"({"max_unavailable": 1, "progress_deadline_s": 60})",
       "reload max_unavailable 1 progress_deadline 1 min"},
      {"/rollout/pause", "", "rollout pause"},
      {"/rollout/resume", R"({"pool": "web"})", "rollout resume web"},
      {"/rollout/abort", R"({"why": "slow"})", "rollout abort"},
      {"/rollout/undo", "", "rollout undo"},
      {"/rollout/undo", R"({"to": 3, "bake_s": 0})", "rollout undo to 3 bake 0 ms"},
      {"/restart", R"({"slot": 3})", "restart 3"},
      {"/signal", R"({"slot": 0, "signal": "usr1"})", "signal 0 SIGUSR1"},
      {"/signal", R"({"slot": 0, "signal": 9})", "signal 0 SIGKILL"},
      {"/stop", R"({"quick": true})", "stop quick"},
      {"/stop", " \r\n", "stop"},
      {"/upgrade", R"({"why": "release 2"})", "upgrade"},
  };
  for (auto& row : rows) {
    BOOST_TEST_CONTEXT(row.path << " " << row.body) {
      auto what = parse_command(row.path, row.body);
      BOOST_REQUIRE(what.has_value());
      BOOST_TEST(describe(*what) == row.described);
    }
  }
  BOOST_TEST(parse_command("/stop", R"({"why": "night"})")->why == "night");
}

BOOST_AUTO_TEST_CASE(unknown_paths_are_no_commands) {
  for (auto* path :
       {"", "/", "/scal", "/scale/", "scale", "/status", "/rollout", "/rollout/", "/pause"})
    BOOST_TEST(!parse_command(path, "{}").has_value(), path);
}

BOOST_AUTO_TEST_CASE(an_application_has_verbs_of_its_own) {
  std::map<std::string, supervisor::verb_handler> more{{"apply", {}}};
  auto what = parse_command("/apply", R"({"argument": "/etc/shop.toml", "why": "night"})", more);
  BOOST_REQUIRE(what.has_value());
  BOOST_TEST(what->handler == &more.at("apply"));
  BOOST_TEST(what->argument == "/etc/shop.toml");
  BOOST_TEST(what->why == "night");
  BOOST_TEST(describe(*what) == "apply /etc/shop.toml");
  BOOST_TEST(!parse_command("/apply", "{}").has_value());
  BOOST_CHECK_THROW(parse_command("/apply", R"({"pool": "web"})", more), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(bad_ones_are_named) {
  struct {
    const char* path;
    const char* body;
    const char* named;
  } const rows[] = {
      {"/scale", "", "count"},
      {"/scale", "{", "not JSON"},
      {"/scale", "[]", "not a JSON object"},
      {"/scale", R"({"count": 1, "delta": 1})", "either"},
      {"/scale", R"({"count": 0})", "\"count\" is an integer from 1"},
      {"/scale", R"({"count": 1000000})", "10000"},
      {"/scale", R"({"count": 1.5})", "\"count\" is an integer"},
      {"/scale", R"({"count": "4"})", "\"count\" is an integer"},
      {"/scale", R"({"count": 18446744073709551615})", "\"count\" is an integer"},
      {"/scale", R"({"count": 2, "pool": 7})", "\"pool\" is a string"},
      {"/scale", R"({"count": 2, "cuont": 7})", "cuont"},
      {"/reload", R"({"slot": 1})", "slot"},
      {"/reload", R"({"batch": 0})", "\"batch\" is an integer from 1"},
      {"/reload", R"({"bake_s": -1})", "\"bake_s\" is a number of seconds"},
      {"/reload", R"({"bake_check": 1})", "\"bake_check\""},
      {"/reload", R"({"bake_check": "ping"})", "ping"},
      {"/reload", R"({"bake_s": "1"})", "\"bake_s\" is a number of seconds"},
      {"/reload", R"({"to": 1})", "to"},
      {"/rollout/undo", R"({"to": 0})", "\"to\" is an integer from 1"},
      {"/rollout/pause", R"({"canary": 1})", "canary"},
      {"/restart", "{}", "\"slot\" is missing"},
      {"/restart", R"({"slot": -1})", "\"slot\" is an integer"},
      {"/signal", R"({"slot": 1})", "\"signal\" is missing"},
      {"/signal", R"({"slot": 1, "signal": "NOPE"})", "\"NOPE\""},
      {"/signal", R"({"slot": 1, "signal": 0})", "\"signal\" is an integer"},
      {"/signal", R"({"slot": 1, "signal": 999})", "\"signal\" is an integer"},
      {"/stop", R"({"quick": 1})", "\"quick\" is true or false"},
  };
  auto mentions = [](const char* named) {
    return [named](const std::invalid_argument& error) {
      BOOST_TEST_MESSAGE(error.what());
      return std::string(error.what()).find(named) != std::string::npos;
    };
  };
  for (auto& row : rows) BOOST_TEST_CONTEXT(row.path << " " << row.body)
  BOOST_CHECK_EXCEPTION(parse_command(row.path, row.body), std::invalid_argument,
                        mentions(row.named));
}

BOOST_AUTO_TEST_CASE(deep_nesting_is_refused_not_followed) {
  std::string deep(60'000, '[');
  BOOST_CHECK_THROW(parse_command("/scale", deep), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(refusals_carry_the_exit_code) {
  using supervisor::errc;
  struct {
    errc error;
    unsigned status;
    int exit;
  } const rows[] = {{errc::no_such_pool, 404, 4}, {errc::no_such_slot, 404, 4},
                    {errc::rolled_back, 409, 9},  {errc::superseded, 409, 10},
                    {errc::pool_closed, 409, 10}, {errc::invalid_argument, 400, 2}};
  for (auto& row : rows) {
    auto answer = supervisor::refusal(make_error_code(row.error), "");
    BOOST_TEST(answer.status == row.status);
    BOOST_TEST(answer.body["exit"].as_int64() == row.exit);
    BOOST_TEST(answer.body["ok"].as_bool() == false);
    BOOST_TEST(!answer.body["reason"].as_string().empty());
  }
  auto gone = supervisor::refusal({ESRCH, boost::system::system_category()}, "it left");
  BOOST_TEST(gone.body["error"].as_string() == "ESRCH");
  BOOST_TEST(gone.body["reason"].as_string() == "it left");
}

BOOST_AUTO_TEST_CASE(the_status_has_its_shape) {
  using namespace std::chrono_literals;
  supervisor::slot_status slot;
  slot.pid = 4711;
  slot.state = "ready";
  slot.uptime = 1500ms;
  supervisor::pool_status pool;
  pool.name = "web";
  pool.target = 2;
  pool.ready = 1;
  pool.slots.push_back(slot);
  BOOST_TEST(!supervisor::all_ready({pool}));
  supervisor::master_status master;
  master.pid = 10;
  master.version = "1";
  supervisor::group_status group;
  group.name = "shop";
  group.strategy = "one_for_all";
  group.children.emplace_back().name = "web";
  auto status = to_json(master, {pool}, {group});
  auto& in_group = status["groups"].as_array().at(0).as_object();
  for (auto* name : {"name", "state", "strategy", "reason", "children"})
    BOOST_TEST(in_group.contains(name), name);
  auto& child = in_group["children"].as_array().at(0).as_object();
  for (auto* name : {"name", "kind", "state", "restarts", "last_end"})
    BOOST_TEST(child.contains(name), name);
  for (auto* name : {"pid", "main_pid", "version", "uptime_s"})
    BOOST_TEST(status["master"].as_object().contains(name), name);
  auto& row = status["pools"].as_array().at(0).as_object();
  for (auto* name : {"name", "target", "ready", "generation", "slots"})
    BOOST_TEST(row.contains(name), name);
  auto& worker = row["slots"].as_array().at(0).as_object();
  for (auto* name : {"slot", "pid", "state", "generation", "restarts", "uptime_s", "last_exit"})
    BOOST_TEST(worker.contains(name), name);
  BOOST_TEST(worker["uptime_s"].as_int64() == 1);
  pool.drained = true;
  BOOST_TEST(supervisor::all_ready({pool}));
}

BOOST_AUTO_TEST_CASE(a_client_says_only_what_is_to_be_otherwise) {
  auto what = parse_command("/reload", R"({"bake_s": 2.5, "batch": 3})");
  auto how = what->how.over(supervisor::rollout_options().canary(2).max_unavailable(1));
  BOOST_TEST(how.plan.canary == 2u);
  BOOST_TEST(how.plan.max_unavailable == 1u);
  BOOST_TEST(how.plan.batch == 3u);
  BOOST_TEST((how.plan.bake == std::chrono::milliseconds(2500)));
  BOOST_TEST(!how.probe);
  auto checked = parse_command("/reload", R"({"bake_check": "tcp://127.0.0.1:1"})");
  how = checked->how.over(supervisor::rollout_options().canary(2));
  BOOST_TEST(how.probe.value().str() == "tcp://127.0.0.1:1");
  BOOST_TEST(how.plan.canary == 2u);
}

BOOST_AUTO_TEST_SUITE_END()
