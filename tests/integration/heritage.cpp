// What a master finds of the one before it: workers, their ends, their words, their work.
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "kernel/pidfd.hpp"
#include "support/app.hpp"

using test::master;

namespace json = boost::json;

BOOST_AUTO_TEST_SUITE(heritage)

BOOST_AUTO_TEST_CASE(with_few_descriptors_to_begin_with_no_worker_is_lost) {
  rlimit before{};
  BOOST_REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit few{48, before.rlim_max};
  BOOST_REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  master app({"-w", "16", "-b", "127.0.0.1:0", "--", "sh", "-c", "ulimit -n; exec sleep 1000"});
  ::setrlimit(RLIMIT_NOFILE, &before);
  app.wait_ready(16);
  auto workers = app.workers();
  app.kill_master();
  BOOST_TEST(app.workers() == workers, boost::test_tools::per_element());
  // Children get the limit from before.
  ::kill(workers.front(), SIGKILL);
  app.wait_for_text("in place of");
  auto said = app.log().size();
  app.wait_ready(17);
  BOOST_TEST(app.log().find("\"48\"", said) != std::string::npos, app.log());
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(how_a_worker_ended_meanwhile_is_known) {
  master app({"-w", "2", "-b", "127.0.0.1:0", "--", "sleep", "1000"});
  app.wait_ready(2);
  auto victim = app.workers().front();
  ::kill(app.master_pid(), SIGKILL);
  ::kill(victim, SIGBUS);
  auto gone = app.wait_for("worker.exited");
  BOOST_TEST(gone.at("pid").to_number<pid_t>() == victim);
  BOOST_TEST(gone.at("status").as_string().starts_with("SIGBUS"));
  app.wait_ready(3);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

// Its mold's parent is the keeper, which reaps it before the master has heard of it.
BOOST_AUTO_TEST_CASE(how_a_worker_ended_is_known_that_died_as_it_began) {
  master app({"-w", "1", "-b", "127.0.0.1:0"});
  auto mold = app.wait_for("mold.started").at("pid").to_number<pid_t>();
  app.wait_ready(1);
  app.kill_master();
  auto next = app.master_pid(), first = app.workers().front();
  auto state = [&] {
    auto status = app.status();
    return status["pools"].as_array()[0].at("slots").as_array()[0].at("state").as_string();
  };
  ::kill(mold, SIGSTOP);
  ::kill(first, SIGKILL);
  app.wait_for("worker.exited");
  BOOST_REQUIRE(test::comes_true([&] { return state() == "starting"; }));  // it is ordered
  ::kill(next, SIGSTOP);
  ::kill(mold, SIGCONT);
  pid_t made = 0;
  BOOST_REQUIRE(test::comes_true([&] {
    for (auto pid : supervisor::kernel::children_of(app.pid()))
      if (pid != next && pid != mold && pid != first) made = pid;
    return made != 0;
  }));
  ::kill(made, SIGBUS);
  BOOST_REQUIRE(test::comes_true([&] { return ::kill(made, 0) != 0; }));  // it is reaped
  ::kill(next, SIGCONT);
  auto gone = app.wait_for("worker.exited");
  BOOST_TEST(json::serialize(gone["status"]).starts_with("\"SIGBUS"), json::serialize(gone));
  app.wait_ready(2);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(what_a_worker_has_left_behind_is_not_taken_for_one_that_was_being_made) {
  // A job of its own that has lost its parent: as a worker leads a group in the master's session.
  master app({"-w", "1", "-b", "127.0.0.1:0", "--", "bash", "-c",
              "(set -m; exec 1>&- 2>&-; sleep 1001 &); exec sleep 1000"});
  app.wait_ready(1);
  auto before = app.master_pid();
  pid_t left = 0;
  BOOST_REQUIRE(test::comes_true([&] {
    for (auto pid : supervisor::kernel::children_of(before))
      if (test::command_of(pid) == "sleep 1001") left = pid;
    return left != 0;
  }));
  BOOST_REQUIRE(::getpgid(left) == left);
  BOOST_REQUIRE(::getsid(left) == before);
  BOOST_TEST(app.ask({"scale", "2"}).code == 0);  // since then something has changed
  app.kill_master();
  BOOST_TEST(app.ask({"scale", "3"}).code == 0);  // it has gone on in everything
  BOOST_TEST(test::command_of(left) == "sleep 1001");
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(the_next_master_hears_what_commands_say) {
  test::temporary_directory there;
  auto go = there / "go";
  master app(
      {"-w", "1", "-b", "127.0.0.1:0", "--ready", "notify", "--", "sh", "-c",
       "while [ ! -e " + go + " ]; do sleep 0.05; done; exec " TEST_CHILD " notify READY=1 sleep"});
  app.wait_for("worker.started");
  app.kill_master();
  std::ofstream(go) << "now";
  app.wait_ready(1);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

// A file, because what nobody reads in time is dropped from a pipe, lest the master wait.
BOOST_AUTO_TEST_CASE(no_line_of_the_log_is_lost) {
  constexpr unsigned lines = 20'000;
  auto number = std::to_string(lines);
  test::temporary_directory place;
  test::process app({TEST_PREFORK, "run", "-w", "1", "-b", "127.0.0.1:0", "--control",
                     place / "c.sock", "--log-file", place / "log", "--", "sh", "-c",
                     "i=0; while [ $i -lt " + number +
                         " ]; do i=$((i+1)); echo line $i.; done; exec sleep 1000"});
  auto log = [&] {
    std::ifstream file(place / "log");
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  auto size = [&]() -> std::uintmax_t {
    std::error_code none_yet;
    auto bytes = std::filesystem::file_size(place / "log", none_yet);
    return none_yet ? 0 : bytes;
  };
  for (std::uintmax_t k = 1; k <= 4; ++k) {
    BOOST_REQUIRE(test::comes_true([&] { return size() > k * 100'000; }));
    pid_t living = 0;
    BOOST_REQUIRE(test::comes_true([&] { return (living = test::master_of(app.pid())) != 0; }));
    ::kill(living, SIGKILL);
  }
  BOOST_REQUIRE(
      test::comes_true([&] { return log().find("line " + number + ".\n") != std::string::npos; }));
  auto all = log();
  std::vector<unsigned> times(lines + 1);
  for (std::size_t at = 0; (at = all.find("line ", at)) != std::string::npos; at += 5) {
    auto i = std::strtoul(all.c_str() + at + 5, nullptr, 10);
    if (i >= 1 && i <= lines) ++times[i];
  }
  BOOST_TEST(std::ranges::count(times, 0u) == 1);  // there is no line 0
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
  test::await_no_process();
}

/// What happened to workers is told by whoever lives to tell it.
BOOST_AUTO_TEST_CASE(no_event_is_lost_from_the_log) {
  master app({"-w", "2", "-b", "127.0.0.1:0"});
  app.wait_ready(2);
  for (int i = 0; i < 3; ++i) {
    auto victim = app.workers().front();
    auto pid = app.master_pid();
    ::kill(victim, SIGKILL);
    ::kill(pid, SIGKILL);
    app.wait_for("worker.exited",
                 [&](auto& e) { return e.at("pid").template to_number<pid_t>() == victim; });
    app.wait_ready(static_cast<unsigned>(3 + i));
  }
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_line_begun_under_one_master_is_told_whole_by_the_next) {
  test::temporary_directory there;
  auto go = there / "go";
  master app({"-w", "1", "-b", "127.0.0.1:0", "--", "sh", "-c",
              "echo before; printf 'beginning, '; while [ ! -e " + go +
                  " ]; do sleep 0.05; done; echo 'and end'; exec sleep 1000"});
  app.wait_for_text("before");
  app.wait_ready(1);  // a second later: the beginning was read
  app.kill_master();
  std::ofstream(go) << "now";
  app.wait_for_text("beginning, and end");
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_newline_is_taken_for_readiness_by_the_next_master) {
  test::temporary_directory there;
  auto go = there / "go";
  master app({"-w", "1", "-b", "127.0.0.1:0", "--ready", "fd:7", "--", "sh", "-c",
              "while [ ! -e " + go + " ]; do sleep 0.05; done; echo >&7; exec sleep 1000"});
  app.wait_for("worker.started");
  app.kill_master();
  std::ofstream(go) << "now";
  app.wait_ready(1);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(what_workers_show_is_seen_by_the_next_master) {
  master app({"-w", "1", "-b", "127.0.0.1:0"});
  app.wait_ready(1);
  for (int i = 0; i < 5; ++i) test::get(app.port(), "/pid");
  test::http_request slow(app.port(), "/slow?ms=5000");
  auto work = [&] {
    auto status = app.status();
    return status["pools"].as_array()[0].at("slots").as_array()[0].at("work").as_object();
  };
  BOOST_REQUIRE(test::comes_true([&] { return work()["in_flight"].to_number<int>() == 1; }));
  app.kill_master();
  auto seen = work();
  BOOST_TEST(seen["requests"].to_number<int>() == 6);
  BOOST_TEST(seen["in_flight"].to_number<int>() == 1);
  BOOST_TEST(seen["activity"].as_string() == "GET /slow");
  BOOST_TEST(slow.answer().status == 200);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_SUITE_END()
