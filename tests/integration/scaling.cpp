// prefork run --scale, under real load.
#include <boost/json/array.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <list>

#include "support/app.hpp"
#include "support/load.hpp"

namespace {

/// A worker that takes one connection at a time, and a while for it.
const std::string slow_worker = R"(
import os, select, signal, socket, time
listener = socket.socket(fileno=3)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
while True:
    select.select([listener], [], [])
    try:
        client, _ = listener.accept()
    except BlockingIOError:
        continue
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    client.recv(8192)
    time.sleep(0.1)
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    client.close()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
)";

test::strings in_python() { return {"--", "python3", "-c", slow_worker}; }

void wait_for_size(test::master& app, std::function<bool(std::int64_t)> such) {
  app.wait_for("pool.resized", [&](auto& e) { return such(e.at("target").as_int64()); });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(scaling)

BOOST_AUTO_TEST_CASE(on_demand_the_first_request_is_answered_from_zero) {
  test::master app({"-w", "4", "-b", "127.0.0.1:0", "--scale", "demand:200ms"});
  auto port = app.port();
  BOOST_TEST(app.workers().empty());
  for (int round = 0; round < 3; ++round) {
    BOOST_TEST(test::get(port, "/pid").status == 200);
    wait_for_size(app, [](auto n) { return n == 0; });
    app.wait_for("worker.exited");
  }
  BOOST_TEST(app.workers().empty());
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(spare_workers_grow_under_load_and_shrink_after_it) {
  test::master app({"-w", "6", "-b", "127.0.0.1:0", "--scale", "spare:1-2"});
  app.wait_ready(1);
  {
    std::list<test::load> load;
    for (int i = 0; i < 4; ++i) load.emplace_back(app.port(), "/slow?ms=300");
    wait_for_size(app, [](auto n) { return n >= 4; });
    for (auto& each : load) {
      each.stop();
      for (auto& failure : each.failures) BOOST_ERROR(failure);
    }
  }
  wait_for_size(app, [](auto n) { return n <= 2; });
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_backlog_brings_workers_in_any_language) {
  test::strings arguments{"-w", "4", "-b", "127.0.0.1:0", "--scale", "backlog"};
  for (auto& each : in_python()) arguments.push_back(each);
  test::master app(arguments);
  app.wait_ready(1);
  {
    std::list<test::load> load;
    for (int i = 0; i < 6; ++i) load.emplace_back(app.port(), "/");
    wait_for_size(app, [](auto n) { return n == 4; });
    app.wait_ready(4);
    for (auto& each : load) {
      each.stop();
      BOOST_TEST(each.answered > 0u);
      for (auto& failure : each.failures) BOOST_ERROR(failure);
    }
  }
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_SUITE_END()
