// The control socket and the verbs of the command line.
#include <sys/stat.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>

#include "support/app.hpp"

BOOST_AUTO_TEST_SUITE(control)

using test::master;

namespace {

struct running : master {
  explicit running(const char* workers = "2") : master({"-w", workers, "-b", "127.0.0.1:0"}) {
    wait_ready(static_cast<unsigned>(std::stoul(workers)));
  }
  void end() {
    BOOST_TEST(ask({"stop"}).code == 0);
    BOOST_TEST(finish().code == 0);
  }
};

test::response post(const std::string& control, const std::string& path, const std::string& body) {
  return test::http_request::raw(control, "POST " + path + " HTTP/1.1\r\nHost: x\r\n" +
                                              "Connection: close\r\nContent-Length: " +
                                              std::to_string(body.size()) + "\r\n\r\n" + body)
      .answer();
}

}  // namespace

BOOST_AUTO_TEST_CASE(status_has_its_shape) {
  running app;
  auto status = app.status();
  auto& about = status["master"].as_object();
  BOOST_TEST(about["pid"].as_int64() > 0);
  BOOST_TEST(about["main_pid"].as_int64() == app.pid());
  BOOST_TEST(about["strangers_reaped"].to_number<int>() == 0);
  BOOST_TEST(!about["version"].as_string().empty());
  BOOST_TEST(about["uptime_s"].to_number<double>() >= 0);
  auto& pools = status["pools"].as_array();
  BOOST_REQUIRE(pools.size() == 1u);
  auto& pool = pools[0].as_object();
  BOOST_TEST(pool["name"].as_string() == "web");
  BOOST_TEST(pool["target"].as_int64() == 2);
  BOOST_TEST(pool["ready"].as_int64() == 2);
  BOOST_TEST(pool["generation"].as_int64() == 1);
  auto& slots = pool["slots"].as_array();
  BOOST_REQUIRE(slots.size() == 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    auto& slot = slots[i].as_object();
    BOOST_TEST(slot["slot"].as_int64() == static_cast<int>(i));
    BOOST_TEST(slot["pid"].as_int64() > 0);
    BOOST_TEST(slot["state"].as_string() == "ready");
    BOOST_TEST(slot["generation"].as_int64() == 1);
    BOOST_TEST(slot["restarts"].as_int64() == 0);
    BOOST_TEST(slot["uptime_s"].to_number<double>() >= 0);
    BOOST_TEST(slot["last_exit"].as_string() == "");
  }
  auto table = app.ask({"status"});
  BOOST_TEST(table.code == 0);
  BOOST_TEST(table.out.find("web.1") != std::string::npos, table.out);
  app.end();
}

BOOST_AUTO_TEST_CASE(the_socket_and_its_lock_are_for_nobody_else) {
  running app("1");
  for (auto& path : {app.control(), app.control() + ".lock"}) {
    struct stat info{};
    BOOST_REQUIRE(::stat(path.c_str(), &info) == 0);
    BOOST_TEST((info.st_mode & 0777) == 0600u, path);
  }
  app.end();
}

BOOST_AUTO_TEST_CASE(scale_returns_when_settled) {
  running app;
  BOOST_TEST(app.ask({"scale", "5"}).code == 0);
  BOOST_TEST(app.workers().size() == 5u);
  BOOST_TEST(app.ask({"scale", "-3"}).code == 0);
  BOOST_TEST(app.workers().size() == 2u);
  BOOST_TEST(app.ask({"scale", "+1"}).code == 0);
  BOOST_TEST(app.workers().size() == 3u);
  app.end();
}

BOOST_AUTO_TEST_CASE(twenty_at_once_are_exactly_twenty) {
  running app("1");
  std::vector<test::process> all;
  for (int i = 0; i < 20; ++i)
    all.emplace_back(test::strings{TEST_PREFORK, "scale", "+1", "--control", app.control()});
  for (auto& one : all) {
    auto end = one.finish();
    BOOST_TEST(end.code == 0, end.err);
  }
  BOOST_TEST(app.status()["pools"].as_array().at(0).at("target").as_int64() == 21);
  BOOST_TEST(app.workers().size() == 21u);
  app.end();
}

BOOST_AUTO_TEST_CASE(restart_replaces_one_slot) {
  running app;
  auto before = app.workers();
  BOOST_TEST(app.ask({"restart", "1"}).code == 0);
  auto after = app.workers();
  BOOST_REQUIRE(after.size() == 2u);
  BOOST_TEST(std::count(after.begin(), after.end(), before[0]) == 1);
  BOOST_TEST(std::count(after.begin(), after.end(), before[1]) == 0);
  auto none = app.ask({"restart", "7"});
  BOOST_TEST(none.code == 4);
  BOOST_TEST(none.err.find("7") != std::string::npos, none.err);
  app.wait_for("note", [](auto& e) {  // the log has the refusal with its reason
    return e.at("message").as_string().find("has no slot 7") != std::string_view::npos;
  });
  app.end();
}

BOOST_AUTO_TEST_CASE(signal_reaches_one_worker) {
  running app;
  auto before = app.workers();
  BOOST_TEST(app.ask({"signal", "0", "KILL"}).code == 0);
  auto gone = app.wait_for("worker.exited");
  BOOST_TEST(gone.at("pid").as_int64() == before[0]);
  app.wait_ready(3);
  app.end();
}

BOOST_AUTO_TEST_CASE(reload_replaces_all) {
  running app;
  auto before = app.workers();
  BOOST_TEST(app.ask({"reload", "--why", "a new build"}).code == 0);
  auto command = app.wait_for("command.received");
  BOOST_TEST(command.at("text").as_string().find("a new build") != std::string::npos);
  BOOST_TEST(command.at("text").as_string().find("uid") != std::string::npos);
  auto started = app.wait_for("rollout.started");
  BOOST_TEST(started.at("cause").as_int64() == command.at("id").as_int64());
  for (auto pid : app.workers()) BOOST_TEST(std::count(before.begin(), before.end(), pid) == 0);
  app.end();
}

BOOST_AUTO_TEST_CASE(an_impatient_client_leaves_and_the_change_goes_on) {
  running app("1");
  test::http_request slow(app.port(), "/slow?ms=3000");
  BOOST_TEST(test::get(app.port(), "/pid").status == 200);
  auto end = app.ask({"reload", "--timeout", "50ms"});  // settled only when /slow has been answered
  BOOST_TEST(end.code == 6);
  BOOST_TEST(slow.answer().status == 200);
  app.wait_for("rollout.committed");
  app.end();
}

BOOST_AUTO_TEST_CASE(stop_answers_when_all_is_gone) {
  running app;
  auto port = app.port();
  BOOST_TEST(app.ask({"stop"}).code == 0);
  BOOST_TEST(test::get(port, "/pid").status == 0);
  auto status = app.ask({"status"});
  BOOST_TEST(status.code == 3);
  BOOST_TEST(status.err.find(app.control()) != std::string::npos, status.err);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_quick_stop_hastens_a_slow_one) {
  running app("1");
  test::http_request slow(app.port(), "/slow?ms=600000");
  BOOST_TEST(test::get(app.port(), "/pid").status == 200);
  test::process gentle({TEST_PREFORK, "stop", "--control", app.control()});
  app.wait_for("worker.stopping");
  BOOST_TEST(app.ask({"stop", "--quick"}).code == 0);
  BOOST_TEST(gentle.finish().code == 0);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(probes) {
  running app;
  BOOST_TEST(test::http_request(app.control(), "/livez").answer().status == 200);
  BOOST_TEST(test::http_request(app.control(), "/readyz").answer().status == 200);
  app.signal(SIGWINCH);
  app.wait_for("pool.drained");
  BOOST_TEST(test::http_request(app.control(), "/livez").answer().status == 200);
  app.end();
}

namespace {

/// Its workers never become ready, so whoever waits for that waits.
struct never_ready : master {
  never_ready()
      : master({"-w", "1", "-b", "127.0.0.1:0", "--ready", "notify", "--", "sleep", "1000"}) {
    wait_for("worker.started");
  }
};

const std::string one_more =
    "POST /scale HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n{\"delta\": 1}";

}  // namespace

BOOST_AUTO_TEST_CASE(who_is_not_ready_says_so) {
  never_ready app;
  BOOST_TEST(test::http_request(app.control(), "/livez").answer().status == 200);
  BOOST_TEST(test::http_request(app.control(), "/readyz").answer().status == 503);
  BOOST_TEST(app.ask({"status"}).code == 5);
  BOOST_TEST(app.ask({"scale", "2", "--timeout", "50ms"}).code == 6);
  app.wait_for("pool.resized");
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_stop_answers_those_who_wait) {
  never_ready app;
  test::process waiting({TEST_PREFORK, "scale", "2", "--control", app.control()});
  app.wait_for("pool.resized");
  BOOST_TEST(app.ask({"stop"}).code == 0);
  auto end = waiting.finish();
  BOOST_TEST(end.code == 10, end.err);
  BOOST_TEST(!end.err.empty());
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(clients_that_leave_end_their_waiting_only) {
  never_ready app;
  {
    std::vector<test::http_request> waiting;
    for (int i = 0; i < 40; ++i)
      waiting.push_back(test::http_request::raw(app.control(), one_more));
    for (int i = 0; i < 40; ++i) app.wait_for("pool.resized");
  }
  BOOST_TEST(app.status()["pools"].as_array().at(0).at("target").as_int64() == 41);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(requests_that_come_together_are_answered_in_order) {
  running app("1");
  auto got = test::http_request::raw(app.control(), one_more +
                                                        "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
                                                        "GET /nowhere HTTP/1.1\r\nHost: x\r\n"
                                                        "Connection: close\r\n\r\n")
                 .answer();
  BOOST_TEST(got.status == 200);
  auto settled = got.body.find("\"slots\""), alive = got.body.find("{\"ok\":true}"),
       refused = got.body.find("no_such_page");
  BOOST_TEST((settled < alive && alive < refused && refused != std::string::npos), got.body);
  app.end();
}

BOOST_AUTO_TEST_CASE(malformed_requests_are_answered) {
  running app;
  struct {
    const char* path;
    const char* body;
    int status;
    const char* named;
  } const rows[] = {
      {"/scale", "{", 400, "not JSON"},
      {"/scale", "{\"count\": 0}", 400, "count"},
      {"/scale", "{\"count\": 2, \"pool\": \"nope\"}", 404, "nope"},
      {"/restart", "{\"slot\": 99}", 404, "99"},
      {"/signal", "{\"slot\": 0, \"signal\": \"NOPE\"}", 400, "NOPE"},
      {"/nowhere", "{}", 404, "/nowhere"},
  };
  for (auto& row : rows) {
    auto got = post(app.control(), row.path, row.body);
    BOOST_TEST(got.status == row.status, row.path << ' ' << row.body << ": " << got.body);
    BOOST_TEST(got.body.find(row.named) != std::string::npos, got.body);
    BOOST_TEST(boost::json::parse(got.body).at("ok").as_bool() == false);
  }
  using test::http_request;
  BOOST_TEST(http_request(app.control(), "/nowhere").answer().status == 404);
  BOOST_TEST(http_request::raw(app.control(), "what?\r\n\r\n").answer().status == 400);
  BOOST_TEST(http_request::raw(app.control(),
                               "DELETE /status HTTP/1.1\r\nHost: x\r\n"
                               "Connection: close\r\n\r\n")
                 .answer()
                 .status == 405);
  BOOST_TEST(post(app.control(), "/scale", std::string(100'000, ' ')).status == 413);
  BOOST_TEST(app.status()["pools"].as_array().at(0).at("target").as_int64() == 2);
  app.end();
}

BOOST_AUTO_TEST_CASE(a_silent_client_costs_nobody_anything) {
  running app;
  auto silent = test::http_request::raw(app.control(), "GET /sta");
  BOOST_TEST(app.ask({"status"}).code == 0);
  app.end();  // does not wait for it either
  BOOST_TEST(silent.answer().status == 0);
}

BOOST_AUTO_TEST_SUITE_END()
