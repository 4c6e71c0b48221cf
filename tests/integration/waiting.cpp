// Clients that wait for a command while the master dies are answered by the next one.
#include <signal.h>

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <string>

#include "support/app.hpp"

using test::master;
using test::strings;

namespace {

/// prefork VERB ..., at work beside us.
test::process begin(const master& app, strings words) {
  words.insert(words.begin(), TEST_PREFORK);
  words.insert(words.end(), {"--control", app.control()});
  return test::process(words);
}

/// A file, while it is there.
struct gate {
  void open() { std::ofstream(path) << "open"; }
  void close() { std::filesystem::remove(path); }
  test::temporary_directory place;
  const std::string path = place / "gate";
};

/// Workers that become ready once the gate is open.
struct gated : gate, master {
  gated()
      : master({"-w", "2", "-b", "127.0.0.1:0", "--ready", "notify", "--", "sh", "-c",
                "while [ ! -e " + path +
                    " ]; do sleep 0.05; done; exec " TEST_CHILD " notify READY=1 sleep"}) {
    open();
  }
};

void end(master& app) {
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(waiting)

BOOST_AUTO_TEST_CASE(a_reload_is_answered_by_the_next_master) {
  gated app;
  app.wait_ready(2);
  app.close();
  auto client = begin(app, {"reload"});
  app.wait_for("rollout.started");
  app.kill_master();
  app.kill_master();
  app.open();
  auto told = client.finish();
  BOOST_TEST(told.code == 0, told.err + app.log());
  BOOST_TEST(app.status()["pools"].as_array()[0].at("generation").as_int64() == 2);
  end(app);
}

BOOST_AUTO_TEST_CASE(an_aborted_reload_ends_with_its_reason) {
  gated app;
  app.wait_ready(2);
  app.close();
  auto client = begin(app, {"reload"});
  app.wait_for("rollout.started");
  app.kill_master();
  BOOST_TEST(app.ask({"rollout", "abort", "--why", "not today"}).code == 0);
  auto told = client.finish();
  BOOST_TEST(told.code == 9);
  BOOST_TEST(told.err.find("not today") != std::string::npos, told.err);
  app.open();
  end(app);
}

BOOST_AUTO_TEST_CASE(scaling_and_restarting_are_answered_by_the_next_master) {
  gated app;
  app.wait_ready(2);
  app.close();
  auto more = begin(app, {"scale", "+1"});
  app.wait_for("worker.started", [](auto& e) { return e.at("slot").as_int64() == 2; });
  auto fresh = begin(app, {"restart", "0"});
  app.wait_for("worker.started", [](auto& e) { return e.at("slot").as_int64() == 0; });
  app.kill_master();
  app.open();
  BOOST_TEST(more.finish().code == 0);
  BOOST_TEST(fresh.finish().code == 0);
  BOOST_TEST(app.workers().size() == 3u);
  end(app);
}

BOOST_AUTO_TEST_CASE(any_client_is_answered_on_its_connection) {
  gated app;
  app.wait_ready(2);
  app.close();
  auto client = test::http_request::raw(app.control(),
                                        "POST /scale HTTP/1.1\r\nHost: x\r\n"
                                        "Content-Length: 11\r\n\r\n{\"count\":3}");
  app.wait_for("pool.resized");
  app.kill_master();
  app.open();
  auto told = client.answer();
  BOOST_TEST(told.status == 200);
  auto body = boost::json::parse(told.body).as_object();
  BOOST_TEST(body["slots"].as_array().size() == 3u);
  end(app);
}

BOOST_AUTO_TEST_CASE(who_waits_for_the_end_is_told_of_it) {
  master app({"-w", "1", "-b", "127.0.0.1:0"});
  app.wait_ready(1);
  test::http_request slow(app.port(), "/slow?ms=3000");
  test::get(app.port(), "/pid");
  auto client = begin(app, {"stop"});
  app.wait_for("worker.stopping");
  app.kill_master();
  BOOST_TEST(slow.answer().status == 200);
  BOOST_TEST(client.finish().code == 0);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(who_has_left_meanwhile_costs_nothing) {
  gated app;
  app.wait_ready(2);
  app.close();
  {
    auto client = begin(app, {"reload"});
    app.wait_for("rollout.started");
    ::kill(app.master_pid(), SIGSTOP);
  }
  app.kill_master();
  app.open();
  app.wait_for("rollout.committed");
  BOOST_TEST(app.ask({"scale", "1"}).code == 0);
  end(app);
}

BOOST_AUTO_TEST_SUITE_END()
