// The workers of apps/examples/any_language: what a program in any language has of prefork.
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>

#include "support/app.hpp"
#include "support/load.hpp"

BOOST_AUTO_TEST_SUITE(any_language)

namespace {

void serves_reloads_and_drains(const std::string& worker, const std::string& language) {
  test::master app({"-w", "2", "-b", "127.0.0.1:0", "--ready", "notify", "--", worker});
  app.wait_ready(2);
  auto answer = test::get(app.port(), "/");
  BOOST_TEST(answer.status == 200);
  BOOST_TEST(answer.body.find(", in " + language) != std::string::npos, answer.body);
  BOOST_TEST(app.ask({"status"}).out.find("serving, in " + language) != std::string::npos);

  {
    test::load first(app.port()), second(app.port());
    for (int round = 0; round < 2; ++round) BOOST_TEST(app.ask({"reload"}).code == 0);
    for (auto* each : {&first, &second}) {
      each->stop();
      BOOST_TEST(each->answered > 0u);
      for (auto& failure : each->failures) BOOST_ERROR(failure);
    }
  }

  app.signal(SIGTERM);
  for (int gone = 0; gone < 2; ++gone) {
    auto exited = app.wait_for(
        "worker.exited", [](auto& event) { return event.at("why").as_string() == "stopped"; });
    BOOST_TEST(exited.at("status").as_string() == "exit 0");
  }
  BOOST_TEST(app.finish().code == 0);
}

}  // namespace

BOOST_AUTO_TEST_CASE(in_c) { serves_reloads_and_drains(TEST_EXAMPLE_WORKER, "C"); }

BOOST_AUTO_TEST_CASE(in_python) {
  serves_reloads_and_drains(TEST_EXAMPLES "/any_language/worker.py", "Python");
}

BOOST_AUTO_TEST_CASE(in_node) {
  serves_reloads_and_drains(TEST_EXAMPLES "/any_language/worker.js", "Node");
}

BOOST_AUTO_TEST_CASE(without_a_socket_they_say_how_to_be_run) {
  for (std::string worker : {TEST_EXAMPLE_WORKER, TEST_EXAMPLES "/any_language/worker.py",
                             TEST_EXAMPLES "/any_language/worker.js"}) {
    auto ended = test::run({worker});
    BOOST_TEST(ended.code != 0);
    BOOST_TEST(ended.err.find("prefork run -- ./worker") != std::string::npos, ended.err);
  }
}

BOOST_AUTO_TEST_SUITE_END()
