// The end of prefork: graceful, quick, by force; and what is left, which is nothing.
#include <boost/json/value.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "kernel/pidfd.hpp"
#include "support/app.hpp"

BOOST_AUTO_TEST_SUITE(stopping)

using test::master;

BOOST_AUTO_TEST_CASE(term_lets_a_request_in_flight_finish) {
  master app({"-w", "2", "-b", "127.0.0.1:0"});
  app.wait_ready(2);
  test::http_request slow(app.port(), "/slow?ms=1500");
  test::get(app.port(), "/pid");  // after this the slow one has been accepted
  app.signal(SIGTERM);
  BOOST_TEST(slow.answer().status == 200);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(the_graceful_timeout_ends_in_kill) {
  master app({"-w", "1", "-b", "127.0.0.1:0", "--graceful-timeout", "300ms"});
  app.wait_ready(1);
  test::http_request slow(app.port(), "/slow?ms=600000");
  // One worker accepts in order: when this one is answered the slow one is with it.
  BOOST_TEST(test::get(app.port(), "/pid").status == 200);
  app.signal(SIGTERM);
  auto step = app.wait_for("worker.escalated");
  BOOST_TEST(step.at("signal").as_string() == "SIGKILL");
  auto gone = app.wait_for("worker.exited");
  BOOST_TEST(gone.at("status").as_string() == "SIGKILL");
  BOOST_TEST(gone.at("why").as_string() == "stopped");
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(quit_does_not_wait_for_the_graceful_timeout) {
  master app({"-w", "1", "-b", "127.0.0.1:0", "--graceful-timeout", "3600"});
  app.wait_ready(1);
  test::http_request slow(app.port(), "/slow?ms=600000");
  BOOST_TEST(test::get(app.port(), "/pid").status == 200);
  app.signal(SIGQUIT);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_second_int_hastens_the_first) {
  master app({"-w", "1", "-b", "127.0.0.1:0", "--graceful-timeout", "3600"});
  app.wait_ready(1);
  test::http_request slow(app.port(), "/slow?ms=600000");
  BOOST_TEST(test::get(app.port(), "/pid").status == 200);
  app.signal(SIGINT);
  app.wait_for("worker.stopping");
  app.signal(SIGINT);
  BOOST_TEST(app.finish().code == 0);
}

// The quick stop ends in KILL by itself, after a second: where the machine was held up for as long
// between the second and the third, it has been first.
BOOST_AUTO_TEST_CASE(a_third_int_kills_what_is_left) {
  auto kills = [] {
    master app({"-w", "1", "-b", "127.0.0.1:0", "--graceful-timeout", "3600", "--ready", "fd:9",
                "--", "sh", "-c", "trap '' TERM INT QUIT; echo >&9; exec sleep 3600"});
    app.wait_ready(1);
    app.signal(SIGINT);
    app.wait_for("worker.stopping");
    app.signal(SIGINT);
    auto second = app.wait_for("signal.received");
    BOOST_TEST(app.wait_for("pool.stopping").at("cause") == second.at("id"));
    app.signal(SIGINT);
    auto gone = app.wait_for("worker.exited");
    BOOST_TEST(gone.at("status").as_string() == "SIGKILL");
    BOOST_TEST(gone.at("why").as_string() == "stopped");
    BOOST_TEST(app.finish().code == 0);
    return app.log().find("\"worker.escalated\"") == std::string::npos;
  };
  bool by_the_third = false;
  for (unsigned attempts = 5; attempts > 0 && !by_the_third; --attempts) by_the_third = kills();
  BOOST_TEST(by_the_third);
}

BOOST_AUTO_TEST_CASE(while_the_drain_delay_runs_new_connections_are_served) {
  master app({"-w", "1", "-b", "127.0.0.1:0", "--drain-delay", "3600"});
  app.wait_ready(1);
  app.signal(SIGTERM);
  app.wait_for("signal.received");
  BOOST_TEST(test::get(app.port(), "/pid").status == 200);
  app.signal(SIGINT);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_stop_before_anything_is_ready) {
  master app({"-w", "4", "-b", "127.0.0.1:0"});
  app.wait_for("pool.opened");
  app.signal(SIGTERM);
  // Before the policy listens to it, TERM is the end all the same.
  auto end = app.finish();
  BOOST_TEST((end.code == 0 || end.signal == SIGTERM));
}

BOOST_AUTO_TEST_CASE(a_pidfile_lives_as_long_as_the_master) {
  test::temporary_directory there;
  auto path = there / "pid";
  std::ofstream(path) << "99999999\n";  // a stale one
  master app({"-w", "1", "-b", "127.0.0.1:0", "--pidfile", path});
  app.wait_ready(1);
  pid_t pid = 0;
  std::ifstream(path) >> pid;
  BOOST_TEST(pid == app.pid());

  auto second = test::prefork(
      {"run", "-b", "127.0.0.1:0", "--control", there / "other.sock", "--pidfile", path});
  BOOST_TEST(second.code == 10);
  BOOST_TEST(second.err.find(path) != std::string::npos, second.err);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
  BOOST_TEST(std::filesystem::is_empty(there.path()));
}

BOOST_AUTO_TEST_CASE(what_a_master_leaves_that_is_killed_with_its_keeper_is_replaced_by_the_next) {
  test::temporary_directory there;
  auto control = there / "c.sock";
  auto run = [&] {
    return test::strings{TEST_PREFORK, "run",   "-w",           "2",   "-b", "127.0.0.1:0",
                         "--control",  control, "--log-format", "json"};
  };
  auto until_ready = [](test::process& app) {
    for (unsigned ready = 0; ready < 2;) {
      auto line = app.line();
      BOOST_REQUIRE(line);
      if (line->find("\"worker.ready\"") != line->npos) ++ready;
    }
  };
  {
    test::process first(run());
    until_ready(first);
    auto below = supervisor::kernel::children_of(first.pid());
    BOOST_REQUIRE(below.size() == 1u);
    first.signal(SIGSTOP);  // so that neither sees the other's end
    ::kill(below.front(), SIGKILL);
    first.signal(SIGKILL);
    BOOST_TEST(first.finish().signal == SIGKILL);  // at the end of the streams nobody has them open
  }
  BOOST_TEST(std::filesystem::exists(control));
  test::process second(run());
  until_ready(second);
  BOOST_TEST(test::prefork({"stop", "--control", control}).code == 0);
  BOOST_TEST(second.finish().code == 0);
  BOOST_TEST(std::filesystem::is_empty(there.path()));
  test::await_no_process();
}

BOOST_AUTO_TEST_SUITE_END()
