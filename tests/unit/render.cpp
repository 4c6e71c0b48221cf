// The status as a table.
#include "render.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_SUITE(render)

namespace {

boost::json::object example() {
  return boost::json::parse(R"json({"master": {"name": "shop", "pid": 11, "main_pid": 10,
    "version": "0.1.0", "uptime_s": 187},
    "pools": [{"name": "web", "target": 2, "ready": 1, "generation": 3, "rolling": false,
      "drained": false, "slots": [
      {"slot": 0, "pid": 4711, "state": "ready", "ready": true, "generation": 3, "restarts": 0,
       "uptime_s": 12, "last_exit": "", "stored": ["a", "b"], "detail": "", "work": {"phase": "busy", "requests": 99,
       "in_flight": 2, "connections": 7, "busy_s": 12.3, "activity": "GET /slow"}},
      {"slot": 1, "pid": 0, "state": "backing off", "ready": false, "generation": 3,
       "restarts": 4, "uptime_s": 0, "last_exit": "exit 70 (crash)",
       "detail": "next start in 7 s, exit 70", "work": null}]}]})json")
      .as_object();
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_table_says_what_is_wrong_and_what_comes_next) {
  BOOST_TEST(app::render_status(example(), false) ==
             "shop 0.1.0, pid 10, up 3 m 7 s\n"
             "\n"
             "NAME   READY  STATE        RESTARTS  UPTIME  PID   DETAIL\n"
             "web    1/2    degraded     4\n"
             "web.0  yes    ready        0         12 s    4711\n"
             "web.1  no     backing off  4         -       -     next start in 7 s, exit 70\n");
}

BOOST_AUTO_TEST_CASE(an_upgrade_that_is_not_what_runs_is_told) {
  auto status = example();
  auto& upgrade = status.at("master").as_object()["upgrade"];
  auto head = [&](const char* end) {
    upgrade = {{"end", end}, {"why", "exit 3"}};
    return app::render_status(status, false).substr(0, 80);
  };
  BOOST_TEST(head("failed").find("7 s\nthe last upgrade failed: exit 3\n\nNAME") !=
             std::string::npos);
  BOOST_TEST(head("rolled_back").find("\nthe last upgrade was rolled back: exit 3\n\nNAME") !=
             std::string::npos);
  BOOST_TEST(head("committed").find("7 s\n\nNAME") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(one_that_reloads_is_ready_all_the_same) {
  auto status = example();
  auto& pool = status.at("pools").as_array().at(0).as_object();
  pool.at("slots").as_array().at(0).as_object()["reloading"] = true;
  for (bool wide : {false, true}) {
    auto table = app::render_status(status, wide);
    BOOST_TEST(table.find("web.0  yes    reloading") != std::string::npos, table);
    BOOST_TEST(table.find("web    1/2") != std::string::npos, table);
  }
}

BOOST_AUTO_TEST_CASE(wide_adds_columns) {
  auto table = app::render_status(example(), true);
  BOOST_TEST(table.find("GENERATION  REQUESTS  OPEN  LAST EXIT        STORED  WORK") !=
             std::string::npos);
  BOOST_TEST(
      table.find("99        7     -                2       GET /slow for 12 s, 2 in flight\n") !=
          std::string::npos,
      table);
  BOOST_TEST(
      table.find("exit 70 (crash)  0       -                                next start in 7 s, "
                 "exit "
                 "70") != std::string::npos,
      table);
}

BOOST_AUTO_TEST_CASE(what_a_worker_is_busy_with) {
  const std::pair<const char*, const char*> table[] = {
      {R"({"work": null})", ""},
      {R"({"work": {"phase": "idle", "in_flight": 0}})", "idle"},
      {R"({"work": {"phase": "busy", "in_flight": 1, "busy_s": 0.2, "activity": ""}})",
       "a request for 0 s"},
      {R"({"work": {"phase": "draining", "in_flight": 1, "busy_s": 61, "activity": "GET /"}})",
       "draining: GET / for 1 m 1 s"}};
  for (auto& [slot, words] : table)
    BOOST_TEST(app::render_work(boost::json::parse(slot).as_object()) == words);
}

BOOST_AUTO_TEST_CASE(an_answer_of_another_shape_is_no_crash) {
  for (auto* text : {"{}", R"({"pools": 3})", R"({"pools": [1, {"slots": [2, {}]}]})",
                     R"({"master": [], "pools": [{"name": 3, "slots": {}}]})"})
    BOOST_TEST(app::render_status(boost::json::parse(text).as_object(), true).rfind("NAME", 0) !=
               std::string::npos);
}

BOOST_AUTO_TEST_CASE(uptimes) {
  BOOST_TEST(app::render_uptime(0.4) == "0 s");
  BOOST_TEST(app::render_uptime(59.9) == "59 s");
  BOOST_TEST(app::render_uptime(60) == "1 m 0 s");
  BOOST_TEST(app::render_uptime(7500) == "2 h 5 m");
  BOOST_TEST(app::render_uptime(4 * 86400 + 3600) == "4 d 1 h");
}

BOOST_AUTO_TEST_CASE(rollouts) {
  auto all = boost::json::parse(R"json({"pools": [
    {"name": "web", "generation": 4, "kept": [3, 2], "rollout": {"stage": "baking",
     "generation": 4, "committed": 3, "replaced": 0, "wanted": 6, "paused": true,
     "bake_left_s": 12.5}, "history": [
       {"generation": 1, "what": "function serve", "began": "B1", "ended": "E1",
        "end": "committed", "why": ""},
       {"generation": 4, "what": "function serve", "began": "B4", "ended": null,
        "end": "running", "why": ""}]},
    {"name": "back", "generation": 1, "kept": [], "rollout": {"stage": "going back",
     "generation": 2, "committed": 1, "replaced": 1, "wanted": 2, "paused": false}},
    {"name": "api", "generation": 1, "kept": [], "rollout": null, "history": [
       {"generation": 2, "what": "command x", "began": "B2", "ended": "E2", "end": "failed",
        "why": "slot 0: exit 70 (crash)"}]}]})json")
                 .as_object();
  BOOST_TEST(app::render_rollouts(all) ==
             "web: generation 4: baking, paused, 12 s left; 0 of 6 places are of it; undo can go "
             "back to 3, 2\n"
             "back: generation 2: going back; 1 of 2 places are back at generation 1; undo can go "
             "back to nothing\n"
             "api: generation 1 serves, no rollout is under way; undo can go back to nothing\n");
  BOOST_TEST(
      app::render_history(all) ==
      "NAME  GENERATION  BEGAN  ENDED  RESULT     WHAT            WHY\n"
      "web   1           B1     E1     committed  function serve\n"
      "web   4           B4     -      running    function serve\n"
      "api   2           B2     E2     failed     command x       slot 0: exit 70 (crash)\n");
}

BOOST_AUTO_TEST_SUITE_END()
