// A worker has descriptors stored, is killed, and the next one in its slot reads them.
#include <signal.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <boost/test/unit_test.hpp>
#include <fstream>
#include <iterator>

#include "support/app.hpp"

using test::master;
using test::strings;

namespace {

/// Stores once, in a file with text and in a pipe; those after it read the file.
const strings command{"--ready",
                      "notify",
                      "--",
                      "sh",
                      "-c",
                      "case $LISTEN_FDNAMES in *state*)"
                      " exec " TEST_CHILD
                      " read_stored descriptors notify READY=1 sleep;; esac; "
                      "exec " TEST_CHILD
                      " store \"state=of slot $SUPERVISOR_SLOT\""
                      " notify READY=1 sleep"};

strings arguments(strings first) {
  first.insert(first.end(), command.begin(), command.end());
  return first;
}

std::string names_in(const master& app) {
  std::string all;
  auto status = app.status();
  for (auto& slot : status["pools"].as_array()[0].at("slots").as_array())
    all += boost::json::serialize(slot.at("stored"));
  return all;
}

void stop(master& app) {
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(stored)

BOOST_AUTO_TEST_CASE(the_replacement_reads_what_the_killed_one_has_stored) {
  master app(arguments({"-w", "2", "-b", "127.0.0.1:0", "--log-level", "debug"}));
  app.wait_ready(2);
  BOOST_TEST(names_in(app) == R"(["state"]["state"])");
  BOOST_TEST(app.ask({"status", "-o", "wide"}).out.find("STORED") != std::string::npos);
  ::kill(app.workers().front(), SIGKILL);
  app.wait_for_text("4 is state has of slot 0");
  app.wait_for_text("fds 0 1 2 3 4");
  app.wait_ready(3);
  BOOST_TEST(names_in(app) == R"(["state"]["state"])");
  stop(app);
}

BOOST_AUTO_TEST_CASE(a_reload_passes_it_on_and_a_slot_that_goes_takes_it_along) {
  master app(arguments({"-w", "2", "-b", "127.0.0.1:0"}));
  app.wait_ready(2);
  BOOST_TEST(app.ask({"reload"}).code == 0);
  app.wait_for_text("4 is state has of slot 0");
  app.wait_for_text("4 is state has of slot 1");
  BOOST_TEST(app.ask({"scale", "1"}).code == 0);
  BOOST_TEST(names_in(app) == R"(["state"])");
  BOOST_TEST(app.ask({"scale", "2"}).code == 0);
  BOOST_TEST(names_in(app) == R"(["state"]["state"])");
  BOOST_TEST(app.log().find("5 is") == std::string::npos);
  stop(app);
}

BOOST_AUTO_TEST_CASE(it_outlives_the_master) {
  master app(arguments({"-w", "2", "-b", "127.0.0.1:0"}));
  app.wait_ready(2);
  // The second time of what a master has that has itself got it from another.
  for (int round = 0; round < 2; ++round) {
    app.kill_master();
    BOOST_TEST(names_in(app) == R"(["state"]["state"])");
  }
  BOOST_TEST(app.ask({"upgrade"}).code == 0);
  BOOST_TEST(names_in(app) == R"(["state"]["state"])");
  ::kill(app.workers().back(), SIGKILL);
  app.wait_for_text("4 is state has of slot 1");
  app.wait_ready(3);
  BOOST_TEST(app.ask({"scale", "1"}).code == 0);
  BOOST_TEST(names_in(app) == R"(["state"])");
  stop(app);
}

BOOST_AUTO_TEST_CASE(it_outlives_the_master_and_the_worker_that_die_together) {
  master app(arguments({"-w", "1", "-b", "127.0.0.1:0"}));
  app.wait_ready(1);
  auto worker = app.workers().front();
  ::kill(app.master_pid(), SIGKILL);
  ::kill(worker, SIGKILL);
  app.wait_for_text("4 is state has of slot 0");
  app.wait_ready(2);
  BOOST_TEST(names_in(app) == R"(["state"])");
  stop(app);
}

BOOST_AUTO_TEST_CASE(in_python_as_the_document_has_it) {
  std::ifstream page(TEST_SOURCE "/libsupervisor/doc/workers.md");
  const std::string text(std::istreambuf_iterator<char>(page), {});
  const std::string fence = "```python\n";
  const auto begin = text.find(fence) + fence.size();
  auto script = "import os, socket, time\n" + text.substr(begin, text.find("```", begin) - begin) +
                "os.lseek(state, 0, os.SEEK_END)\n"
                "os.write(state, b'x')\n"
                "print('state is', os.pread(state, 100, 0).decode(), flush=True)\n"
                "time.sleep(1000)\n";
  master app({"-w", "1", "-b", "127.0.0.1:0", "--", "python3", "-c", script});
  for (std::string state : {"x", "xx", "xxx"}) {
    auto line = app.wait_for("worker.output");
    BOOST_TEST(line.at("message").as_string() == "state is " + state);
    ::kill(app.workers().front(), SIGKILL);
  }
  app.wait_for("worker.output");
  stop(app);
}

BOOST_AUTO_TEST_CASE(no_more_than_the_setting_says) {
  master app(arguments({"-w", "1", "-b", "127.0.0.1:0", "--fd-store-max", "0"}));
  auto told = app.wait_for("worker.stored");
  BOOST_TEST(told.at("message").as_string().find("may not store 'state': its slot may have 0") !=
             boost::json::string::npos);
  app.wait_ready(1);
  BOOST_TEST(names_in(app) == "[]");
  stop(app);
}

BOOST_AUTO_TEST_SUITE_END()
