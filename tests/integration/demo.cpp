// The demo service, over real connections.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/json/value.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <string>
#include <vector>

#include "support/app.hpp"

namespace {

/// A client that keeps its connection.
class client {
 public:
  explicit client(unsigned port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    BOOST_REQUIRE(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
  }

  void send(const std::string& text) {
    BOOST_REQUIRE(::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL) ==
                  static_cast<ssize_t>(text.size()));
  }
  void ask(const std::string& path) { send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"); }

  /// The next answer, head and body; `body` false for an answer to HEAD. Empty at the end of file.
  std::string answer(bool body = true) {
    std::size_t head = 0;
    while ((head = received_.find("\r\n\r\n")) == received_.npos)
      if (!more()) return {};
    std::size_t size = head + 4;
    const auto length = received_.find("Content-Length: ");
    if (body && length < head) size += std::stoul(received_.substr(length + 16));
    while (received_.size() < size)
      if (!more()) return {};
    const std::string text = received_.substr(0, size);
    received_.erase(0, size);
    return text;
  }
  bool at_end() { return received_.empty() && !more(); }

 private:
  bool more() {
    pollfd readable{fd_.get(), POLLIN, 0};
    BOOST_REQUIRE(::poll(&readable, 1, 20'000) == 1);
    char part[4096];
    const ssize_t size = ::recv(fd_.get(), part, sizeof part, 0);
    if (size > 0) received_.append(part, static_cast<std::size_t>(size));
    return size > 0;
  }

  test::unique_fd fd_;
  std::string received_;
};

bool has(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }
std::string status_of(const std::string& answer) { return answer.substr(0, answer.find("\r\n")); }

struct one_worker {
  test::master master{{"-w", "1", "-b", "127.0.0.1:0"}};
  unsigned port = 0;
  std::string pid;
  one_worker() {
    master.wait_ready(1);
    port = master.port();
    pid = std::to_string(master.workers().at(0));
  }
  void stop() {
    master.signal(SIGTERM);
    BOOST_TEST(master.finish().code == 0);
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(demo)

BOOST_FIXTURE_TEST_CASE(it_greets_with_its_pid_and_five_things_to_try, one_worker) {
  // Who waits for the same later is answered later.
  BOOST_TEST(master.ask({"scale", "1"}).code == 0);
  const auto own_pid = std::to_string(master.pid());
  const auto url = "http://127.0.0.1:" + std::to_string(port);
  master.signal(SIGTERM);
  const auto told = master.finish().out;
  for (auto& part :
       {"serves " + url + "; its pid is " + own_pid, "  curl " + url + "/pid",
        "  kill -9 $(curl -s " + url + "/pid)", "  kill -TTIN " + own_pid, "  kill -HUP " + own_pid,
        TEST_PREFORK " scale 4 --control " + master.control()})
    BOOST_TEST(has(told, part), told);
}

BOOST_AUTO_TEST_CASE(a_crash_and_a_hang_have_their_causes) {
  test::master app({"-w", "1", "-b", "127.0.0.1:0", "--timeout", "1", "--log-level", "debug"});
  app.wait_ready(1);
  unsigned started = 1;
  for (auto& [path, why] : {std::pair{"/crash", "crash"}, std::pair{"/hang", "hang"}}) {
    test::http_request request(app.port(), path);
    const auto gone = app.wait_for("worker.exited");
    BOOST_TEST(gone.at("why").as_string() == why);
    BOOST_TEST(gone.at("status").as_string() == "SIGABRT");
    BOOST_TEST(gone.at("text").as_string().starts_with(std::string("died in GET ") + path + ", "));
    const auto report = app.wait_for("worker.reported");
    BOOST_TEST(report.at("last_work").as_string().starts_with(std::string("GET ") + path + ", "));
    app.wait_ready(++started);
  }
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_request_that_does_not_end_is_shown_and_then_ended) {
  test::master app({"-w", "1", "-b", "127.0.0.1:0", "--timeout", "10", "--request-timeout", "2"});
  app.wait_ready(1);
  test::http_request endless(app.port(), "/slow?ms=3600000");
  const auto deadline = std::chrono::steady_clock::now() + test::patience;
  while (!has(app.ask({"status", "-o", "wide"}).out, "GET /slow for ") &&
         std::chrono::steady_clock::now() < deadline)
    continue;
  BOOST_TEST(test::get(app.port(), "/pid").status == 200);  // the loop answers
  const auto told = app.wait_for("worker.stopping");
  BOOST_TEST(told.at("why").as_string() == "request_timeout");
  BOOST_TEST(told.at("signal").as_string() == "SIGABRT");
  BOOST_TEST(told.at("text").as_string().starts_with("GET /slow, 2"));
  BOOST_TEST(app.wait_for("worker.exited").at("why").as_string() == "request_timeout");
  app.wait_for("worker.ready");
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_FIXTURE_TEST_CASE(requests_are_answered_in_order_however_they_arrive, one_worker) {
  client one(port);
  one.send("GET /pid HTTP/1.1\r\n\r\nHEAD /nope HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nGET /p");
  BOOST_TEST(has(one.answer(), "\r\n\r\n" + pid + "\n"));
  BOOST_TEST(status_of(one.answer(false)) == "HTTP/1.1 404 Not Found");
  const std::string page = one.answer();
  BOOST_TEST(status_of(page) == "HTTP/1.1 200 OK");
  BOOST_TEST(has(page, "<td>" + pid + "</td>"));
  BOOST_TEST(has(page, "requests served</td><td>3</td>"));
  one.send("id HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  BOOST_TEST(has(one.answer(), "Connection: keep-alive\r\n"));
  one.send("GET /pid HTTP/1.0\r\n\r\n");
  BOOST_TEST(has(one.answer(), "Connection: close\r\n"));
  BOOST_TEST(one.at_end());
  stop();
}

BOOST_FIXTURE_TEST_CASE(bad_requests_are_told, one_worker) {
  const struct {
    std::string request, status;
    bool keeps;
  } table[] = {
      {"JUNK\r\n\r\n", "HTTP/1.1 400 Bad Request", false},
      {"GET / HTTP/1.1\r\nX: " + std::string(9000, 'a'),
       "HTTP/1.1 431 Request Header Fields Too Large", false},
      {"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", "HTTP/1.1 413 Content Too Large",
       false},
      {"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 405 Method Not Allowed", true},
      {"GET /slow?ms=soon HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request", true},
      {"GET /exit?code=256 HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request", true},
      {"GET /nope HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found", true},
  };
  for (const auto& row : table) {
    BOOST_TEST_CONTEXT(row.status) {
      client one(port);
      one.send(row.request);
      BOOST_TEST(status_of(one.answer()) == row.status);
      if (!row.keeps) {
        BOOST_TEST(one.at_end());
        continue;
      }
      one.ask("/pid");
      BOOST_TEST(status_of(one.answer()) == "HTTP/1.1 200 OK");
    }
  }
  stop();
}

BOOST_FIXTURE_TEST_CASE(a_stop_answers_what_is_in_flight_and_says_close_before_it_closes,
                        one_worker) {
  client idle(port), busy(port);
  idle.ask("/pid");
  BOOST_TEST(!has(idle.answer(), "Connection: close"));
  // Two requests in one packet: when the first answer is here the second is in flight.
  busy.send("GET /pid HTTP/1.1\r\n\r\nGET /slow?ms=500 HTTP/1.1\r\n\r\n");
  BOOST_TEST(!busy.answer().empty());
  master.signal(SIGTERM);
  for (auto* one : {&busy, &idle}) {
    const std::string last = one->answer();
    BOOST_TEST(status_of(last) == "HTTP/1.1 200 OK");
    BOOST_TEST(has(last, "Connection: close\r\n"));
    BOOST_TEST(one->at_end());
    // Not told to close, and idle while the worker leaves.
    if (one == &busy) idle.ask("/pid");
  }
  BOOST_TEST(master.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_connection_that_stays_idle_is_closed_at_the_deadline) {
  test::master app({"-w", "1", "-b", "127.0.0.1:0", "--graceful-timeout", "1200ms"});
  app.wait_ready(1);
  client idle(app.port()), silent(app.port());
  idle.ask("/pid");
  BOOST_TEST(!idle.answer().empty());
  app.signal(SIGTERM);
  BOOST_TEST(idle.at_end());
  BOOST_TEST(silent.at_end());
  BOOST_TEST(app.wait_for("worker.exited").at("status").as_string() == "exit 0");
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_connection_outlives_the_worker_that_had_it) {
  test::master app({"-w", "2", "-b", "127.0.0.1:0"});
  app.wait_ready(2);
  std::vector<client> clients;
  for (int i = 0; i < 20; ++i) {
    clients.emplace_back(app.port());
    clients.back().ask("/pid");
    BOOST_TEST(!has(clients.back().answer(), "Connection: close"));
  }
  clients.emplace_back(app.port());  // has asked nothing yet
  client busy(app.port());
  busy.send("GET /pid HTTP/1.1\r\n\r\nGET /slow?ms=300 HTTP/1.1\r\n\r\n");
  const auto former = busy.answer();
  BOOST_TEST(app.ask({"reload"}).code == 0);
  BOOST_TEST(!has(busy.answer(), "Connection: close"));
  clients.push_back(std::move(busy));
  const auto workers = app.workers();
  for (auto& each : clients) {
    each.ask("/pid");
    const auto answer = each.answer();
    BOOST_TEST(!has(answer, "Connection: close"));
    const auto by = std::stoi(answer.substr(answer.find("\r\n\r\n") + 4));
    BOOST_TEST(std::count(workers.begin(), workers.end(), by) == 1);
  }
  app.signal(SIGQUIT);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_SUITE_END()
