// The master dies, and another goes on: same workers, same counters, no request lost.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>

#include "bench/load_client.hpp"
#include "kernel/pidfd.hpp"
#include "kernel/title.hpp"
#include "support/app.hpp"
#include "support/load.hpp"

using test::master;
using test::strings;

namespace {

namespace json = boost::json;

/// Returns the last of them, whose death the keeper knows of.
pid_t kill_masters_until_one_is_late(const master& app) {
  std::set<pid_t> killed;
  pid_t last = 0;
  BOOST_REQUIRE(test::comes_true([&] {
    auto pid = app.master_pid();
    if (pid && killed.insert(pid).second) ::kill(last = pid, SIGKILL);
    return killed.size() == 4;
  }));
  BOOST_REQUIRE(app.ask({"status"}).code == 7);
  return last;
}

/// The last of them; 0: there is none.
pid_t child_such(pid_t parent, const std::function<bool(pid_t)>& such) {
  pid_t found = 0;
  for (auto pid : supervisor::kernel::children_of(parent))
    if (such(pid)) found = pid;
  return found;
}

pid_t child_called(pid_t parent, const std::string& command) {
  return child_such(parent, [&](pid_t pid) { return test::command_of(pid) == command; });
}

pid_t child_named(pid_t parent, const std::string& name) {
  return child_such(parent, [&](pid_t pid) { return supervisor::kernel::short_name(pid) == name; });
}

/// What must be the same afterwards: everything but times.
std::string shape_of(const master& app) {
  std::string all;
  auto status = app.status();
  for (auto& each : status["pools"].as_array()) {
    auto& pool = each.as_object();
    all += json::serialize(pool["name"]) + json::serialize(pool["generation"]) +
           json::serialize(pool["target"]) + json::serialize(pool["kept"]) + '\n';
    for (auto& row : pool["slots"].as_array()) {
      auto& slot = row.as_object();
      for (auto* key : {"slot", "pid", "state", "generation", "restarts", "last_exit"})
        all += json::serialize(slot[key]) + ' ';
      all += '\n';
    }
  }
  return all;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(succession)

BOOST_AUTO_TEST_CASE(a_killed_master_is_replaced_and_nobody_notices) {
  master app({"-w", "3", "-b", "127.0.0.1:0"});
  app.wait_ready(3);
  ::kill(app.workers().front(), SIGKILL);  // so that there is a counter to keep
  app.wait_ready(4);
  auto before = shape_of(app);
  test::load clients(app.port());
  for (int i = 0; i < 3; ++i) {
    app.kill_master();
    BOOST_TEST(shape_of(app) == before);
  }
  clients.stop();
  BOOST_TEST(clients.answered > 0u);
  BOOST_TEST(clients.failures.empty());
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(the_next_master_keeps_workers_alive_scales_rolls_and_stops) {
  master app({"-w", "2", "-b", "127.0.0.1:0"});
  app.wait_ready(2);
  app.kill_master();
  ::kill(app.workers().front(), SIGKILL);
  app.wait_ready(3);
  BOOST_TEST(app.ask({"scale", "3"}).code == 0);
  BOOST_TEST(app.ask({"reload"}).code == 0);
  BOOST_TEST(app.workers().size() == 3u);
  BOOST_TEST(app.status()["pools"].as_array()[0].at("generation").as_int64() == 2);
  app.kill_master();
  // Back to a generation whose mold another master has started.
  BOOST_TEST(app.ask({"rollout", "undo"}).code == 0);
  BOOST_TEST(app.ask({"stop"}).code == 0);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_unix_listener_goes_on_and_its_file_is_removed_at_the_end) {
  test::temporary_directory place;
  auto path = place / "s";
  master app({"-w", "2", "-b", "unix:" + path});
  app.wait_ready(2);
  app.kill_master();
  BOOST_TEST(test::http_request(path, "/pid").answer().status == 200);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
  BOOST_TEST(!std::filesystem::exists(path));
}

BOOST_AUTO_TEST_CASE(a_listener_that_is_closed_after_a_succession_is_closed) {
  test::temporary_directory place;
  auto file = place / "prefork.toml";
  auto write = [&](const std::string& listener) {
    std::ofstream(file) << "[listeners]\nhttp = '" + listener + "'\n[pool.web]\ndemo = true\n";
  };
  auto before = "unix:" + (place / "before"), after = "unix:" + (place / "after");
  write(before);
  master app({"--config", file});
  app.wait_for("worker.ready");
  app.kill_master();
  BOOST_TEST(test::http_request(place / "before", "/pid").answer().status == 200);
  std::filesystem::create_hard_link(place / "before", place / "still");
  write(after);
  auto applied = app.ask({"apply", file});
  BOOST_TEST(applied.code == 0, applied.err);
  BOOST_TEST(test::http_request(place / "after", "/pid").answer().status == 200);
  // The keeper holds it no more, either, as soon as it has read that.
  BOOST_TEST(test::comes_true([&] {
    return test::http_request(place / "still", "/pid").answer().body ==
           "connect: Connection refused";
  }));
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(under_load_nobody_notices_that_masters_die) {
  for (auto listener : {"127.0.0.1:0", "127.0.0.1:0,sharded"}) {
    BOOST_TEST_CONTEXT(listener) {
      master app({"-w", "3", "-b", listener});
      app.wait_ready(3);
      auto before = shape_of(app);
      std::vector<std::unique_ptr<bench::load>> clients;
      for (bool keep_alive : {true, false}) {
        bench::load_options options;
        options.port = static_cast<std::uint16_t>(app.port());
        options.keep_alive = keep_alive;
        options.connections = 8;
        options.rate = 200;
        options.patience = std::chrono::seconds(20);
        clients.push_back(std::make_unique<bench::load>(options));
      }
      // The third in a row comes after a second, and the fourth after two.
      for (int i = 0; i < 4; ++i) {
        app.kill_master();
        BOOST_TEST(shape_of(app) == before);
      }
      for (auto& each : clients)
        for (auto& [name, counts] : each->stop()) {
          BOOST_TEST(counts.failures() == "");
          BOOST_TEST(counts.answered == counts.asked);
        }
      // Each of them still has a socket of its own, and can be replaced.
      BOOST_TEST(app.ask({"reload"}).code == 0);
      for (int i = 0; i < 8; ++i) BOOST_TEST(test::get(app.port(), "/pid").status == 200);
      app.signal(SIGTERM);
      BOOST_TEST(app.finish().code == 0);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_reload_that_was_under_way_goes_on) {
  master app({"-w", "4", "-b", "127.0.0.1:0", "--ready", "alive:500ms", "--", "sleep", "1000"});
  app.wait_ready(4);
  app.signal(SIGHUP);
  app.wait_for("worker.ready", [](auto& e) { return e.at("generation").as_int64() == 2; });
  app.kill_master();
  app.wait_for("rollout.committed");
  auto status = app.status();
  for (auto& slot : status["pools"].as_array()[0].at("slots").as_array())
    if (slot.at("state").as_string() != "stopping")  // the last of the old ones may still leave
      BOOST_TEST(slot.at("generation").as_int64() == 2);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_stop_that_was_under_way_goes_on) {
  master app({"-w", "1", "-b", "127.0.0.1:0"});
  app.wait_ready(1);
  test::http_request slow(app.port(), "/slow?ms=3000");
  test::get(app.port(), "/pid");
  app.signal(SIGTERM);
  app.wait_for("worker.stopping");
  ::kill(app.master_pid(), SIGKILL);
  BOOST_TEST(slow.answer().status == 200);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_stop_that_came_as_the_master_died_is_not_forgotten) {
  for (int number : {SIGTERM, SIGINT, SIGQUIT}) {
    master app({"-w", "2", "-b", "127.0.0.1:0"});
    app.wait_ready(2);
    auto pid = app.master_pid();
    app.signal(number);
    ::kill(pid, SIGKILL);
    BOOST_TEST(app.finish().code == 0);
  }
}

BOOST_AUTO_TEST_CASE(a_graceful_stop_stays_graceful) {
  master app({"-w", "1", "-b", "127.0.0.1:0", "--graceful-timeout", "3600"});
  app.wait_ready(1);
  test::http_request slow(app.port(), "/slow?ms=2500");
  test::get(app.port(), "/pid");
  app.signal(SIGINT);
  app.wait_for("worker.stopping");
  app.kill_master();
  BOOST_TEST(slow.answer().status == 200);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_master_that_dies_again_and_again_is_given_time_and_says_so) {
  master app({"-w", "1", "-b", "127.0.0.1:0"});
  app.wait_ready(1);
  auto workers = app.workers();
  auto port = app.port();
  auto last = kill_masters_until_one_is_late(app);
  // The last of them has left everybody waiting.
  auto told = app.ask({"status"});
  BOOST_TEST(told.err.find("has died") != std::string::npos, told.err);
  BOOST_TEST(told.err.find("signal 9") != std::string::npos, told.err);
  BOOST_TEST(test::get(port, "/pid").status == 200);
  app.wait_for_next_master(last);
  BOOST_TEST(app.workers() == workers, boost::test_tools::per_element());
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(told_to_stop_without_a_master_the_keeper_ends_all) {
  master app({"-w", "1", "-b", "127.0.0.1:0"});
  app.wait_ready(1);
  kill_masters_until_one_is_late(app);
  app.signal(SIGTERM);
  // As the last master did.
  auto end = app.finish_killed();
  BOOST_TEST(end.signal == SIGKILL);
}

BOOST_AUTO_TEST_CASE(a_terminal_s_stop_while_a_master_starts_is_taken_back) {
  master app({"-w", "1", "-b", "127.0.0.1:0"});
  app.wait_ready(1);
  auto before = app.master_pid(), next = before;
  BOOST_REQUIRE(::kill(before, SIGKILL) == 0);
  BOOST_REQUIRE(test::comes_true([&] {
    next = app.master_pid();
    return next && next != before;
  }));
  app.signal(SIGTSTP);
  siginfo_t info{};
  BOOST_REQUIRE(::waitid(P_PID, static_cast<id_t>(app.pid()), &info, WSTOPPED) == 0);
  app.signal(SIGCONT);
  // This one, not one that comes when this has taken too long.
  app.wait_for_next_master(before);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(with_die_with_master_its_death_is_the_end) {
  master app({"-w", "2", "-b", "127.0.0.1:0", "--die-with-master"});
  app.wait_ready(2);
  ::kill(app.master_pid(), SIGKILL);
  BOOST_TEST(app.finish_killed().signal == SIGKILL);
}

BOOST_AUTO_TEST_CASE(a_keeper_takes_along_what_two_masters_have_made) {
  master app({"-w", "2", "-b", "127.0.0.1:0", "--", "sh", "-c",
              "setsid sh -c 'exec 1>&- 2>&-; trap \"\" TERM HUP; sleep 1000' & exec sleep 1000"});
  app.wait_ready(2);
  app.kill_master();
  BOOST_TEST(app.ask({"scale", "3"}).code == 0);
  app.signal(SIGKILL);
  BOOST_TEST(app.finish_as_init().signal == SIGKILL);
}

BOOST_AUTO_TEST_CASE(a_keeper_without_a_master_takes_all_along_too) {
  master app({"-w", "2", "-b", "127.0.0.1:0", "--", "sleep", "1000"});
  app.wait_ready(2);
  kill_masters_until_one_is_late(app);
  app.signal(SIGKILL);
  BOOST_TEST(app.finish_as_init().signal == SIGKILL);
}

BOOST_AUTO_TEST_CASE(as_pid_1_the_keeper_reaps_strangers_and_starts_masters) {
  test::temporary_directory place;
  auto control = place / "c.sock";
  // The daemon's end is nobody's but PID 1's to see, and its father is gone before the master.
  test::process app({"unshare", "--pid", "--fork", "--mount-proc", TEST_PREFORK, "run", "-w", "1",
                     "-b", "127.0.0.1:0", "--control", control, "--", "sh", "-c",
                     "(setsid sleep 1001 &); exec sleep 1000"});
  auto read_to = [&app](const char* words) {
    while (auto line = app.line())
      if (line->find(words) != line->npos) return true;
    return false;
  };
  if (!read_to(" ready")) {
    BOOST_TEST_MESSAGE("no pid namespace to be had: not tried");
    return;
  }
  auto keeper = supervisor::kernel::children_of(app.pid()).front();
  auto before = supervisor::kernel::children_of(keeper).front();
  pid_t daemon = 0;
  BOOST_REQUIRE(
      test::comes_true([&] { return (daemon = child_called(before, "sleep 1001")) != 0; }));
  BOOST_REQUIRE(::kill(before, SIGKILL) == 0);
  BOOST_REQUIRE(read_to("in place of"));
  BOOST_TEST(test::command_of(daemon) == "sleep 1001");
  ::kill(daemon, SIGKILL);
  BOOST_TEST(test::prefork({"scale", "2", "--control", control}).code == 0);
  BOOST_TEST(test::comes_true([&] { return ::kill(daemon, 0) != 0; }));  // it is reaped
  auto strangers = [&] {
    auto told = test::prefork({"status", "-o", "json", "--control", control}).out;
    return json::parse(told).at("master").at("strangers_reaped").to_number<int>();
  };
  BOOST_TEST(test::comes_true([&] { return strangers() == 1; }));
  // That of the second worker falls to this master.
  auto next = child_named(keeper, "prefork-master");
  BOOST_REQUIRE(test::comes_true([&] { return (daemon = child_called(next, "sleep 1001")) != 0; }));
  ::kill(daemon, SIGKILL);
  BOOST_TEST(test::comes_true([&] { return strangers() == 2; }));
  ::kill(next, SIGKILL);
  BOOST_REQUIRE(read_to("in place of"));
  BOOST_TEST(strangers() == 2);
  ::kill(keeper, SIGTERM);
  BOOST_TEST(app.finish().code == 0);
  test::await_no_process();
}

BOOST_AUTO_TEST_SUITE_END()
