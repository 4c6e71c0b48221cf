// The instrument that tells whether a client noticed anything, against servers that fail on
// purpose: what it counts is exact.
#include "bench/load_client.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <boost/test/unit_test.hpp>
#include <csignal>
#include <map>
#include <string_view>
#include <thread>

#include "kernel/unique_fd.hpp"

BOOST_AUTO_TEST_SUITE(load_client)

namespace {

using namespace std::chrono_literals;
using supervisor::kernel::unique_fd;

/// Answers each request as its path says, one connection at a time.
class failing_server {
 public:
  failing_server() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* any = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    if (::bind(listener_.get(), any, size) != 0 || ::listen(listener_.get(), 64) != 0 ||
        ::getsockname(listener_.get(), any, &size) != 0)
      throw std::runtime_error("no listener");
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~failing_server() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  std::uint16_t port() const { return port_; }

 private:
  void run() {
    std::vector<unique_fd> silent;
    for (;;) {
      unique_fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) return;
      while (client && answer(client, silent)) continue;
    }
  }

  static void reset(unique_fd& client) {
    const linger at_once{1, 0};
    ::setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    client.reset();
  }
  /// With the end of the stream in the same segment, where it is the last.
  static bool send(const unique_fd& client, std::string_view text, bool last) {
    ::send(client.get(), text.data(), text.size(), MSG_NOSIGNAL | (last ? MSG_MORE : 0));
    if (last) ::shutdown(client.get(), SHUT_WR);
    return !last;
  }

  /// False: the connection is over.
  static bool answer(unique_fd& client, std::vector<unique_fd>& silent) {
    char buffer[4096];
    std::string request;
    while (request.find("\r\n\r\n") == request.npos) {
      auto size = ::recv(client.get(), buffer, sizeof buffer, 0);
      if (size <= 0) return false;
      request.append(buffer, static_cast<std::size_t>(size));
    }
    auto path = request.substr(4, request.find(' ', 4) - 4);
    const std::string ok = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n";
    if (path == "/good") return send(client, ok + "\r\n12\n", false);
    if (path == "/announced") return send(client, ok + "Connection: close\r\n\r\n12\n", true);
    if (path == "/unannounced") return send(client, ok + "\r\n12\n", true);
    if (path == "/early") return send(client, "", true);
    if (path == "/half-head") return send(client, "HTTP/1.1 200 OK\r\nConte", true);
    if (path == "/half-body") return send(client, ok + "\r\n1", true);
    if (path == "/status")
      return send(client, "HTTP/1.1 503 No\r\nContent-Length: 3\r\n\r\n12\n", false);
    if (path == "/body") return send(client, ok + "\r\nxy\n", false);
    if (path == "/babble") return send(client, "hello, world\r\n\r\n", true);
    if (path == "/reset") reset(client);
    if (path == "/reset-midway" && send(client, ok, false)) reset(client);
    if (path == "/silent") silent.push_back(std::move(client));
    return false;
  }

  unique_fd listener_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

const std::vector<std::string> all_paths{"/good",  "/early",  "/half-head", "/half-body",
                                         "/reset", "/status", "/body",      "/babble",
                                         "/good",  "/silent"};

bench::tally run(bench::load_options options) {
  auto all = bench::load(std::move(options)).finish();
  BOOST_REQUIRE(all.size() == 1u);
  return all.front().second;
}

void check_failures(const bench::tally& t, std::uint64_t rounds) {
  BOOST_TEST(t.asked == all_paths.size() * rounds);
  BOOST_TEST(t.answered == 2 * rounds);
  BOOST_TEST(t.latencies.size() == t.answered);
  BOOST_TEST(t.closed_early == rounds);
  BOOST_TEST(t.truncated == 2 * rounds);
  BOOST_TEST(t.reset == rounds);
  BOOST_TEST(t.wrong == 3 * rounds);
  BOOST_TEST(t.timed_out == rounds);
  BOOST_TEST(t.refused == 0u);
  BOOST_TEST(t.failed() == 8 * rounds);
}

}  // namespace

BOOST_AUTO_TEST_CASE(each_kind_of_failure_is_counted_exactly) {
  std::signal(SIGPIPE, SIG_IGN);
  failing_server server;
  for (bool keep_alive : {false, true}) {
    BOOST_TEST_CONTEXT("keep-alive " << keep_alive) {
      bench::load_options options;
      options.port = server.port();
      options.paths = all_paths;
      options.keep_alive = keep_alive;
      options.connections = 1;
      options.requests = all_paths.size() * 5;
      options.patience = 100ms;
      auto counted = run(options);
      check_failures(counted, 5);
      BOOST_TEST(counted.closed_by_server() == 0u);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_refused_connection_is_counted) {
  bench::load_options options;
  {
    failing_server gone;
    options.port = gone.port();
  }
  options.requests = 20;
  options.connections = 3;
  auto counted = run(options);
  BOOST_TEST(counted.refused == 20u);
  BOOST_TEST(counted.failed() == 20u);
  BOOST_TEST(counted.failures() == "20 refused");
}

BOOST_AUTO_TEST_CASE(a_reset_in_the_midst_of_an_answer_is_no_short_answer) {
  failing_server server;
  bench::load_options options;
  options.port = server.port();
  options.paths = {"/reset-midway"};
  options.requests = 10;
  options.connections = 1;
  BOOST_TEST(run(options).failures() == "10 reset");
}

BOOST_AUTO_TEST_CASE(connections_that_the_server_closes_are_counted_by_how) {
  failing_server server;
  bench::load_options options;
  options.port = server.port();
  options.paths = {"/good", "/announced", "/unannounced"};
  options.keep_alive = true;
  options.connections = 1;
  options.requests = 30;
  auto counted = run(options);
  BOOST_TEST(counted.answered == 30u);
  BOOST_TEST(counted.closes_announced == 10u);
  BOOST_TEST(counted.closes_unannounced == 10u);  // the last one after its last answer
  options.keep_alive = false;
  BOOST_TEST(run(options).closed_by_server() == 0u);
}

BOOST_AUTO_TEST_CASE(what_waits_behind_a_stall_is_counted_from_when_it_was_due) {
  failing_server server;
  bench::load_options options;
  options.port = server.port();
  options.paths = {"/silent", "/good", "/good", "/good", "/good"};
  options.connections = 1;
  options.requests = 5;
  options.rate = 1000;
  options.patience = 200ms;
  auto counted = run(options);
  BOOST_TEST(counted.failures() == "1 timed out");
  BOOST_TEST(counted.answered == 4u);
  // All were due in the first 5 ms, and the silence lasted longer than the patience.
  BOOST_TEST(counted.percentile(0) >= 190);
}

BOOST_AUTO_TEST_CASE(phases_share_out_what_is_due_in_them) {
  failing_server server;
  bench::load_options options;
  options.port = server.port();
  options.paths = {"/good"};
  options.keep_alive = true;
  options.connections = 1;
  options.rate = 2000;
  options.requests = 400;
  bench::load clients(options);
  clients.phase("second");
  auto all = clients.finish();
  BOOST_REQUIRE(all.size() == 2u);
  BOOST_TEST(all[1].first == "second");
  BOOST_TEST(all[0].second.answered + all[1].second.answered == 400u);
  BOOST_TEST(all[1].second.answered > 0u);
}

BOOST_AUTO_TEST_SUITE_END()
