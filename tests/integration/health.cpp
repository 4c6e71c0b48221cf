// Workers looked after by probes, and recycled, from outside.
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <thread>

#include "support/app.hpp"
#include "support/load.hpp"

using namespace std::chrono_literals;

namespace {

const std::string python = TEST_EXAMPLES "/any_language/worker.py";

bool because_of(const boost::json::object& event, std::string_view why) {
  return event.at("why").as_string() == why;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(health)

BOOST_AUTO_TEST_CASE(a_worker_without_a_heartbeat_is_replaced) {
  test::master app({"-w", "1", "-b", "127.0.0.1:0", "--graceful-timeout", "100ms", "--liveness",
                    "heartbeat", "--liveness-period", "50ms", "--liveness-timeout", "2", "--", "sh",
                    "-c", "exec " + python});
  // This worker sends no heartbeat at all.
  auto exited = app.wait_for("worker.exited", [](auto& e) { return because_of(e, "probe"); });
  BOOST_TEST(exited.at("slot").as_int64() == 0);
  app.wait_ready(2);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_master_that_was_stopped_ends_nobody) {
  // A look that lasts: the answer of one under way when the master stops is late for it.
  test::master app({"-w", "3", "-b", "127.0.0.1:0", "--liveness", "exec:sleep 0.05",
                    "--liveness-period", "60ms", "--liveness-timeout", "1", "--liveness-failures",
                    "1"});
  app.wait_ready(3);
  auto before = app.workers();
  for (int i = 0; i < 3; ++i) {
    app.signal(SIGSTOP);
    std::this_thread::sleep_for(1500ms);  // longer than the probe's timeout: what is tested is time
    app.signal(SIGCONT);
    BOOST_TEST(app.ask({"status"}).code == 0);
  }
  BOOST_TEST(app.workers() == before, boost::test_tools::per_element());
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
  BOOST_TEST(app.log().find("worker.ailing") == std::string::npos, app.log());
}

BOOST_AUTO_TEST_CASE(ready_when_a_probe_passes) {
  test::temporary_directory directory;
  test::master app({"-w", "1", "-b", "unix:" + (directory / "s"), "--ready",
                    "http://unix:" + (directory / "s") + ":/", "--", python});
  app.wait_ready(1);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(recycled_by_requests_under_load_without_a_loss) {
  test::master app({"-w", "2", "-b", "127.0.0.1:0", "--max-requests", "200"});
  app.wait_ready(2);
  test::load load(app.port());
  for (int n = 0; n < 6; ++n)
    app.wait_for("worker.exited", [](auto& e) { return because_of(e, "recycled"); });
  load.stop();
  BOOST_TEST(load.answered > 1000u);
  for (auto& failure : load.failures) BOOST_ERROR(failure);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(recycled_by_age) {
  test::master app({"-w", "1", "-b", "127.0.0.1:0", "--max-age", "300ms", "--", python});
  auto spent = app.wait_for("worker.spent");
  BOOST_TEST(spent.at("message").as_string().find("its age, ") != std::string::npos);
  app.wait_for("worker.exited", [](auto& e) { return because_of(e, "recycled"); });
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_SUITE_END()
