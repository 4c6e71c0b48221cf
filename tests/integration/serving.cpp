// prefork serves: workers come, die, are replaced, added, removed and renewed under load.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "support/app.hpp"
#include "support/directory_watch.hpp"
#include "support/load.hpp"

BOOST_AUTO_TEST_SUITE(serving)

using test::load;
using test::master;

namespace {

pid_t pid_of(const boost::json::object& event) { return event.at("pid").to_number<pid_t>(); }

}  // namespace

BOOST_AUTO_TEST_CASE(a_killed_worker_is_replaced) {
  master app({"-w", "2", "-b", "127.0.0.1:0"});
  app.wait_ready(2);
  auto port = app.port();
  BOOST_TEST(test::get(port, "/").status == 200);
  auto before = app.workers();
  BOOST_REQUIRE(before.size() == 2u);
  auto answering = test::get(port, "/pid").body;
  BOOST_TEST((std::stoi(answering) == before[0] || std::stoi(answering) == before[1]));

  ::kill(before[0], SIGKILL);
  auto gone = app.wait_for("worker.exited");
  BOOST_TEST(pid_of(gone) == before[0]);
  BOOST_TEST(gone.at("status").as_string() == "SIGKILL");
  BOOST_TEST(gone.at("why").as_string() == "killed");
  app.wait_ready(3);
  auto after = app.workers();
  BOOST_TEST(after.size() == 2u);
  BOOST_TEST(std::count(after.begin(), after.end(), before[0]) == 0);
  BOOST_TEST(test::get(port, "/pid").status == 200);

  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(an_ignored_sigchld_that_was_inherited_costs_no_status) {
  auto before = std::signal(SIGCHLD, SIG_IGN);
  master app({"-w", "1", "-b", "127.0.0.1:0"});
  std::signal(SIGCHLD, before);
  app.wait_ready(1);
  test::get(app.port(), "/exit?code=70");
  BOOST_TEST(app.wait_for("worker.exited").at("status").as_string() == "exit 70");
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_crash_has_its_cause_and_an_exit_its_code) {
  master app({"-w", "1", "-b", "127.0.0.1:0"});
  app.wait_ready(1);
  test::get(app.port(), "/exit?code=70");
  auto gone = app.wait_for("worker.exited");
  BOOST_TEST(gone.at("status").as_string() == "exit 70");
  BOOST_TEST(gone.at("why").as_string() == "crash");
  app.wait_ready(2);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(ttin_and_ttou_add_and_remove) {
  master app({"-w", "1", "-b", "127.0.0.1:0"});
  app.wait_ready(1);
  app.signal(SIGTTIN);
  app.wait_ready(2);
  app.signal(SIGTTOU);
  auto gone = app.wait_for("worker.exited");
  BOOST_TEST(gone.at("why").as_string() == "scaled_down");
  BOOST_TEST(app.workers().size() == 1u);

  app.signal(SIGTTOU);  // never below one
  app.wait_for("signal.received");
  BOOST_TEST(app.workers().size() == 1u);
  BOOST_TEST(app.status()["pools"].as_array().at(0).at("target").as_int64() == 1);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(sigqueue_says_how_many) {
  master app({"-w", "1", "-b", "127.0.0.1:0"});
  app.wait_ready(1);
  sigval value{};
  value.sival_int = 4;
  ::sigqueue(app.pid(), SIGRTMIN, value);
  app.wait_ready(5);
  BOOST_TEST(app.workers().size() == 5u);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(hup_replaces_every_worker_and_loses_no_request) {
  master app({"-w", "3", "-b", "127.0.0.1:0"});
  app.wait_ready(3);
  auto old = app.workers();
  {
    load requests(app.port());
    for (int round = 0; round < 3; ++round) {
      app.signal(SIGHUP);
      app.wait_for("rollout.committed");
    }
    requests.stop();
    for (auto& failure : requests.failures) BOOST_ERROR(failure);
    BOOST_TEST(requests.answered > 0u);
  }
  auto fresh = app.workers();
  for (auto pid : old) BOOST_TEST(std::count(fresh.begin(), fresh.end(), pid) == 0);
  BOOST_TEST(app.status()["pools"].as_array().at(0).at("generation").as_int64() == 4);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(killing_at_random_under_load_converges) {
  master app({"-w", "4", "-b", "127.0.0.1:0"});
  app.wait_ready(4);
  {
    load requests(app.port());
    unsigned kills = 0;
    for (; kills < 20; ++kills) {
      auto now = app.workers();
      BOOST_REQUIRE(!now.empty());
      ::kill(now[kills % now.size()], SIGKILL);
      app.wait_for("worker.ready");
    }
    requests.stop();
    BOOST_TEST(requests.failures.size() <= kills);
  }
  app.ask({"scale", "+1"});
  BOOST_TEST(app.workers().size() == 5u);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(winch_drains_and_hup_brings_back) {
  master app({"-w", "2", "-b", "127.0.0.1:0"});
  app.wait_ready(2);
  auto port = app.port();
  app.signal(SIGWINCH);
  app.wait_for("pool.drained");
  app.wait_for("worker.exited");
  app.wait_for("worker.exited");
  BOOST_TEST(app.workers().empty());
  test::http_request waiting(port, "/pid");  // the listener is still there, and queues
  app.signal(SIGHUP);
  app.wait_for("worker.ready");
  BOOST_TEST(waiting.answer().status == 200);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(usr1_opens_the_log_anew) {
  test::temporary_directory logs;
  auto path = logs / "log";
  master app({"-w", "1", "-b", "127.0.0.1:0", "--log-file", path});
  auto holds = [&](const std::string& file, std::string_view text) {
    std::ifstream log(file);
    std::string all((std::istreambuf_iterator<char>(log)), {});
    return all.find(text) != all.npos;
  };
  test::directory_watch files(logs.path());
  BOOST_REQUIRE(files.wait_until([&] { return holds(path, "worker.ready"); }));
  std::filesystem::rename(path, logs / "old");
  app.signal(SIGUSR1);
  BOOST_REQUIRE(files.wait_until([&] { return holds(path, "\n"); }));
  std::ifstream file(path);
  std::string first;
  std::getline(file, first);
  BOOST_TEST(first.find("SIGUSR1") != std::string::npos, first);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_unix_socket_serves_and_is_removed) {
  test::temporary_directory there;
  auto path = there / "web.sock";
  master app({"-w", "1", "-b", "unix:" + path});
  app.wait_ready(1);
  BOOST_TEST(test::http_request(path, "/pid").answer().status == 200);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
  BOOST_TEST(!std::filesystem::exists(path));
}

BOOST_AUTO_TEST_SUITE_END()
