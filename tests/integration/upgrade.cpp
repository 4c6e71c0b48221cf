// A new program takes the master's place: nobody notices, and one that is not fit does not stay.
#include <signal.h>

#include <boost/json/array.hpp>
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <memory>

#include "bench/load_client.hpp"
#include "support/upgradable.hpp"

namespace fs = std::filesystem;
namespace json = boost::json;
using test::upgradable;

BOOST_AUTO_TEST_SUITE(upgrade)

BOOST_AUTO_TEST_CASE(the_program_on_disk_is_what_runs_and_nobody_notices) {
  upgradable u({"-w", "3", "-b", "127.0.0.1:0"});
  auto& app = u.app();
  app.wait_ready(3);
  ::kill(app.workers().front(), SIGKILL);  // so that there is a counter to keep
  app.wait_ready(4);
  auto before = u.shape();
  std::vector<std::unique_ptr<bench::load>> clients;
  for (bool keep_alive : {true, false}) {
    bench::load_options options;
    options.port = static_cast<std::uint16_t>(app.port());
    options.keep_alive = keep_alive;
    options.connections = 8;
    options.rate = 200;
    options.patience = test::patience;
    clients.push_back(std::make_unique<bench::load>(options));
  }
  BOOST_TEST(u.last_upgrade() == "none");
  for (int i = 0; i < 5; ++i) {
    u.install(TEST_PREFORK);
    BOOST_TEST(u.runs() != u.on_disk());
    auto told = app.ask({"upgrade"});
    BOOST_TEST(told.code == 0, told.err);
    BOOST_TEST(u.runs() == u.on_disk());
    BOOST_TEST(u.shape() == before);
  }
  BOOST_TEST(u.last_upgrade() == "committed");
  for (auto& each : clients)
    for (auto& [name, counts] : each->stop()) {
      BOOST_TEST(counts.failures() == "");
      BOOST_TEST(counts.answered == counts.asked);
    }
  BOOST_TEST(app.ask({"reload"}).code == 0);
  BOOST_TEST(app.ask({"scale", "2"}).code == 0);
  u.end();
}

BOOST_AUTO_TEST_CASE(the_signal_does_the_same) {
  upgradable u({"-w", "1", "-b", "127.0.0.1:0", "--", "sleep", "1000"});
  u.app().wait_ready(1);
  auto before = u.shape();
  u.install(TEST_PREFORK);
  u.app().signal(SIGUSR2);
  u.app().wait_for("upgrade.committed");
  BOOST_TEST(u.runs() == u.on_disk());
  BOOST_TEST(u.shape() == before);
  u.end();
}

BOOST_AUTO_TEST_CASE(one_that_cannot_go_on_changes_nothing) {
  upgradable u({"-w", "2", "-b", "127.0.0.1:0"});
  auto& app = u.app();
  app.wait_ready(2);
  auto before = u.shape();
  auto runs = u.runs();
  auto fails = [&](const char* words) {
    auto pid = u.pid_of();
    auto told = app.ask({"upgrade"});
    BOOST_TEST(told.code == 9);
    BOOST_TEST(told.err.find(words) != std::string::npos, told.err);
    app.wait_for("upgrade.failed");
    BOOST_TEST(u.pid_of() == pid);
    BOOST_TEST(u.runs() == runs);
    BOOST_TEST(u.shape() == before);
    BOOST_TEST(u.last_upgrade() == "failed");
  };
  fs::remove(u.path());
  fails("cannot be opened: No such file");
  std::ofstream(u.path()) << "no program";
  fs::permissions(u.path(), fs::perms(0755));
  fails("cannot be executed: Exec format error");
  fs::permissions(u.path(), fs::perms(0644));
  fails("cannot be executed: Permission denied");
  u.install_unfit("exits");
  fails("exit 3");
  u.install_unfit("unreadable");
  fails("cannot read");
  u.install_unfit("hangs");
  fails("not ready to go on after 10 s");
  u.install(TEST_PREFORK);
  BOOST_TEST(app.ask({"upgrade"}).code == 0);
  BOOST_TEST(u.runs() == u.on_disk());
  u.end();
}

BOOST_AUTO_TEST_CASE(one_that_ends_too_soon_is_replaced_by_the_program_before) {
  upgradable u({"-w", "2", "-b", "127.0.0.1:0"});
  auto& app = u.app();
  app.wait_ready(2);
  auto before = u.shape();
  auto runs = u.runs();
  // While it goes on: who has asked still waits.
  u.install_unfit("leaves");
  auto told = app.ask({"upgrade"});
  BOOST_TEST(told.code == 9);
  BOOST_TEST(told.err.find("ended within its first 60 s: exit 4") != std::string::npos, told.err);
  app.wait_for("upgrade.rolled_back");
  BOOST_TEST(u.runs() == runs);
  // And once all seemed well.
  u.install_unfit("dies");
  told = app.ask({"upgrade"});
  BOOST_TEST(told.code == 0, told.err);
  BOOST_TEST(u.runs() == u.on_disk());
  app.wait_for("upgrade.rolled_back",
               [](auto& e) { return e.at("text").as_string().ends_with("SIGKILL"); });
  BOOST_TEST(u.runs() == runs);
  BOOST_TEST(u.shape() == before);
  BOOST_TEST(u.last_upgrade() == "rolled_back");
  BOOST_TEST(app.ask({"restart", "0"}).code == 0);
  u.end();
}

BOOST_AUTO_TEST_CASE(one_on_trial_stays_where_the_next_one_fails_and_goes_where_it_fails_itself) {
  upgradable u({"-w", "1", "-b", "127.0.0.1:0"});
  auto& app = u.app();
  app.wait_ready(1);
  auto before = u.shape();
  auto proven = u.runs();
  u.install(TEST_PREFORK);
  BOOST_TEST(app.ask({"upgrade"}).code == 0);
  auto tried = u.runs();
  BOOST_TEST(tried != proven);
  u.install_unfit("exits");
  BOOST_TEST(app.ask({"upgrade"}).code == 9);
  BOOST_TEST(u.runs() == tried);
  u.install_unfit("leaves");
  BOOST_TEST(app.ask({"upgrade"}).code == 9);
  BOOST_TEST(u.runs() == proven);
  u.install(TEST_PREFORK);
  BOOST_TEST(app.ask({"upgrade"}).code == 0);
  BOOST_REQUIRE(::kill(u.pid_of(), SIGKILL) == 0);
  app.wait_for("upgrade.rolled_back",
               [](auto& e) { return e.at("text").as_string().ends_with("SIGKILL"); });
  BOOST_TEST(u.runs() == proven);
  BOOST_TEST(u.shape() == before);
  u.end();
}

BOOST_AUTO_TEST_CASE(one_that_does_not_answer_is_replaced_too) {
  upgradable u({"-w", "1", "-b", "127.0.0.1:0"});
  u.app().wait_ready(1);
  auto before = u.shape();
  auto runs = u.runs();
  u.install(TEST_PREFORK);
  BOOST_TEST(u.app().ask({"upgrade"}).code == 0);
  BOOST_REQUIRE(::kill(u.pid_of(), SIGSTOP) == 0);
  auto told = u.app().wait_for("upgrade.rolled_back");
  BOOST_TEST(told.at("text").as_string().find("did not answer") != json::string::npos);
  BOOST_TEST(u.runs() == runs);
  BOOST_TEST(u.shape() == before);
  u.end();
}

BOOST_AUTO_TEST_CASE(a_second_one_meanwhile_is_refused) {
  upgradable u({"-w", "1", "-b", "127.0.0.1:0"});
  auto& app = u.app();
  app.wait_ready(1);
  u.install_unfit("hangs");
  test::process first({TEST_PREFORK, "upgrade", "--control", app.control()});
  app.wait_for("upgrade.started");
  auto told = app.ask({"upgrade"});
  BOOST_TEST(told.code == 10);
  BOOST_TEST(told.err.find("under way") != std::string::npos, told.err);
  app.signal(SIGUSR2);
  app.wait_for("note");
  // Everything else goes on, and so does the first.
  BOOST_TEST(app.ask({"scale", "2"}).code == 0);
  BOOST_TEST(first.finish().code == 9);
  u.end();
}

BOOST_AUTO_TEST_CASE(the_master_that_was_to_be_replaced_may_die) {
  upgradable u({"-w", "1", "-b", "127.0.0.1:0"});
  auto& app = u.app();
  app.wait_ready(1);
  auto before = u.shape();
  auto runs = u.runs();
  u.install_unfit("hangs");
  test::process first({TEST_PREFORK, "upgrade", "--control", app.control()});
  app.wait_for("upgrade.started");
  BOOST_REQUIRE(::kill(u.pid_of(), SIGKILL) == 0);
  auto told = first.finish();
  BOOST_TEST(told.code == 9);
  BOOST_TEST(told.err.find("the master ended meanwhile: SIGKILL") != std::string::npos, told.err);
  BOOST_TEST(u.runs() == runs);
  BOOST_TEST(u.shape() == before);
  u.end();
}

BOOST_AUTO_TEST_CASE(the_master_that_was_to_be_replaced_may_hang) {
  upgradable u({"-w", "1", "-b", "127.0.0.1:0"});
  auto& app = u.app();
  app.wait_ready(1);
  auto before = u.shape();
  auto runs = u.runs();
  struct row {
    const char* way;
    int code;
    const char* event;
    const char* words;
  };
  // It is ended when it does not leave; the new one goes on, for a second, or is gone by then.
  for (auto& r : {row{"dies", 0, "upgrade.rolled_back", "SIGKILL"},
                  row{"promises", 9, "upgrade.failed", "exit 6"}}) {
    u.install_unfit("hangs");
    test::process asked({TEST_PREFORK, "upgrade", "--control", app.control()});
    app.wait_for("upgrade.started");
    BOOST_REQUIRE(::kill(u.pid_of(), SIGSTOP) == 0);
    u.tell_unfit(r.way);
    auto told = asked.finish();
    BOOST_TEST(told.code == r.code, told.err);
    auto ended = app.wait_for(r.event);
    BOOST_TEST(ended.at("text").as_string().find(r.words) != json::string::npos);
    BOOST_TEST(u.runs() == runs);
    BOOST_TEST(u.shape() == before);
  }
  u.end();
}

BOOST_AUTO_TEST_CASE(a_stop_goes_before_an_upgrade) {
  upgradable u({"-w", "1", "-b", "127.0.0.1:0"});
  auto& app = u.app();
  app.wait_ready(1);
  u.install_unfit("hangs");
  test::process first({TEST_PREFORK, "upgrade", "--control", app.control()});
  app.wait_for("upgrade.started");
  test::http_request slow(app.port(), "/slow?ms=1500");
  test::get(app.port(), "/pid");
  app.signal(SIGTERM);
  app.wait_for("supervisor.stopping");
  BOOST_TEST(app.ask({"upgrade"}).code == 10);
  BOOST_TEST(slow.answer().status == 200);
  BOOST_TEST(app.finish().code == 0);
  BOOST_TEST(first.finish().code != 0);
}

BOOST_AUTO_TEST_CASE(a_rollout_under_way_goes_on) {
  upgradable u({"-w", "4", "-b", "127.0.0.1:0", "--ready", "alive:500ms", "--", "sleep", "1000"});
  auto& app = u.app();
  app.wait_ready(4);
  app.signal(SIGHUP);
  app.wait_for("worker.ready", [](auto& e) { return e.at("generation").as_int64() == 2; });
  BOOST_TEST(app.ask({"upgrade"}).code == 0);
  app.wait_for("rollout.committed");
  auto status = app.status();
  for (auto& slot : status["pools"].as_array()[0].at("slots").as_array()) {
    BOOST_TEST(slot.at("generation").as_int64() == 2);
    BOOST_TEST(slot.at("restarts").as_int64() == 0);
  }
  u.end();
}

BOOST_AUTO_TEST_CASE(what_was_asked_just_before_is_done) {
  upgradable u({"-w", "1", "-b", "127.0.0.1:0"});
  auto& app = u.app();
  app.wait_ready(1);
  for (unsigned size = 2; size <= 6; ++size) {
    app.signal(SIGUSR2);
    app.signal(SIGTTIN);
    app.wait_for("upgrade.committed");
    app.wait_ready(size);
    auto status = app.status();
    BOOST_TEST(status["pools"].as_array()[0].at("target").to_number<unsigned>() == size);
  }
  u.end();
}

BOOST_AUTO_TEST_CASE(no_line_of_a_worker_is_lost_or_told_twice) {
  test::temporary_directory there;
  auto stop = there / "stop";
  upgradable u({"-w", "1", "-b", "127.0.0.1:0", "--", "sh", "-c",
                "i=0; while [ ! -e " + stop +
                    " ]; do for k in 1 2 3 4 5; do i=$((i+1)); echo line $i.; done; sleep 0.002; "
                    "done; echo last $i.; exec sleep 1000"});
  auto& app = u.app();
  app.wait_for("worker.output");
  for (int i = 0; i < 5; ++i) {
    BOOST_TEST(app.ask({"upgrade"}).code == 0);
    app.wait_for("upgrade.committed");
  }
  std::ofstream(stop) << "now";
  auto said = app.wait_for(
      "worker.output", [](auto& e) { return e.at("message").as_string().starts_with("last "); });
  auto& log = app.log();
  auto last = std::stoi(said.at("message").as_string().c_str() + 5);
  std::size_t at = 0;
  for (int i = 1; i <= last; ++i) {
    auto next = log.find("\"line ", at);
    BOOST_REQUIRE(next != std::string::npos);
    at = next + 6;
    BOOST_REQUIRE(std::stoi(log.substr(at)) == i);
  }
  BOOST_TEST(log.find("\"line ", at) == std::string::npos);
  u.end();
}

BOOST_AUTO_TEST_CASE(where_the_workers_would_end_with_the_master_it_is_refused) {
  upgradable u({"-w", "1", "-b", "127.0.0.1:0", "--die-with-master"});
  u.app().wait_ready(1);
  auto told = u.app().ask({"upgrade"});
  BOOST_TEST(told.code == 1);
  BOOST_TEST(told.err.find("--die-with-master") != std::string::npos, told.err);
  u.end();
}

BOOST_AUTO_TEST_SUITE_END()
