// Probes of real workers, and what the kernel tells of them.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/test/unit_test.hpp>
#include <optional>

#include "kernel/usage.hpp"
#include "supervisor/worker.hpp"
#include "support/function_world.hpp"
#include "support/functions.hpp"
#include "support/temporary.hpp"

namespace asio = boost::asio;
namespace kernel = supervisor::kernel;
using supervisor::listener_spec;
using supervisor::probe_result;
using namespace std::chrono_literals;

namespace {

asio::awaitable<void> count_up(supervisor::worker& self) {
  self.heartbeat();
  for (int i = 0; i < 7; ++i) supervisor::worker::request one(self);
  self.ready();
  co_await self.stopping();
}
const test::function counter{"probes.counter", count_up};

/// What a kind of server would answer, once.
template <typename Protocol>
struct one_answer {
  one_answer(asio::io_context& context, typename Protocol::endpoint at, std::string t)
      : acceptor(context, at), text(std::move(t)) {
    asio::co_spawn(context, serve(), [](std::exception_ptr) {});
  }
  asio::awaitable<void> serve() {
    auto client = co_await acceptor.async_accept(asio::use_awaitable);
    char buffer[1024];
    auto size = co_await client.async_read_some(asio::buffer(buffer), asio::use_awaitable);
    request.assign(buffer, size);
    co_await asio::async_write(client, asio::buffer(text), asio::use_awaitable);
  }
  typename Protocol::acceptor acceptor;
  std::string text, request;
};
using tcp_answer = one_answer<asio::ip::tcp>;

struct fixture : test::function_world {
  std::optional<probe_result> found;

  supervisor::probe_id look(supervisor::child_id id, const supervisor::probe& p) {
    found.reset();
    return host->start_probe(id, p, [this](probe_result r) { found = std::move(r); });
  }
  std::string result(supervisor::child_id id, const supervisor::probe& p) {
    look(id, p);
    BOOST_TEST(!found.has_value());  // never from within the call
    BOOST_REQUIRE(run_until([&] { return found.has_value(); }));
    return (found->well ? "well: " : "ill: ") + found->words;
  }
  /// By what a server answers.
  std::string http(const std::string& answer) {
    tcp_answer server(context, {asio::ip::make_address("127.0.0.1"), 0}, answer);
    auto port = std::to_string(server.acceptor.local_endpoint().port());
    auto words = result(0, supervisor::probe::http("127.0.0.1:" + port, "/healthz"));
    BOOST_TEST(server.request.starts_with("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:" + port));
    return words;
  }
  listener_spec listen(const std::string& text) { return host->listen(listener_spec::parse(text)); }
};

/// Empty where nobody listens.
kernel::unique_fd try_to_connect(const listener_spec& there) {
  const bool is_file = there.kind == listener_spec::family::unix_path;
  sockaddr_un file{};
  file.sun_family = AF_UNIX;
  if (is_file) there.host.copy(file.sun_path, sizeof file.sun_path - 1);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(there.port);
  if (!is_file) BOOST_REQUIRE(::inet_pton(AF_INET, there.host.c_str(), &to.sin_addr) == 1);
  kernel::unique_fd fd(::socket(is_file ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  auto* address = is_file ? reinterpret_cast<sockaddr*>(&file) : reinterpret_cast<sockaddr*>(&to);
  if (::connect(fd.get(), address, is_file ? sizeof file : sizeof to) != 0) fd.reset();
  return fd;
}

kernel::unique_fd connect_to(const listener_spec& there) {
  auto fd = try_to_connect(there);
  BOOST_REQUIRE(fd);
  return fd;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(probes)

BOOST_FIXTURE_TEST_CASE(http_counts_by_the_status, fixture) {
  BOOST_TEST(http("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") == "well: 200 OK");
  BOOST_TEST(http("HTTP/1.0 302 Found\r\n\r\n") == "well: 302 Found");
  BOOST_TEST(http("HTTP/1.1 503 Busy\n\n") == "ill: 503 Busy");
  BOOST_TEST(http("HTTP/1.1 404") == "ill: 404");
  BOOST_TEST(http("220 mail.example ESMTP\r\n") == "ill: no answer in HTTP");
  BOOST_TEST(http("") == "ill: no answer in HTTP");
}

BOOST_FIXTURE_TEST_CASE(http_over_a_unix_socket, fixture) {
  test::temporary_directory directory;
  auto path = directory / "app.sock";
  one_answer<asio::local::stream_protocol> server(context, path, "HTTP/1.1 204 No Content\r\n\r\n");
  BOOST_TEST(result(0, supervisor::probe::http("unix:" + path)) == "well: 204 No Content");
}

BOOST_FIXTURE_TEST_CASE(tcp_counts_by_the_connection, fixture) {
  auto open = listen("127.0.0.1:0");
  auto address = open.address();
  BOOST_TEST(result(0, supervisor::probe::tcp(address)) == "well: connected");
  host.reset();
  host = supervisor::make_kernel_host(context.get_executor(), log, {});
  BOOST_TEST(result(0, supervisor::probe::tcp(address)) == "ill: Connection refused");
  BOOST_TEST(result(0, supervisor::probe::tcp("unix:/nonexistent/x")) ==
             "ill: No such file or directory");
}

BOOST_FIXTURE_TEST_CASE(a_program_counts_by_its_exit_code, fixture) {
  auto id = kernel_world::launch(script({"sleep"}));
  auto child = [](std::vector<std::string> actions) {
    return supervisor::probe::exec(TEST_CHILD, std::move(actions));
  };
  BOOST_TEST(result(id, child({})) == "well: exit 0");
  BOOST_TEST(result(id, child({"print", "no route", "exit", "3"})) == "ill: exit 3: no route");
  BOOST_TEST(result(id, child({"raise", "9"})) == "ill: SIGKILL");
  BOOST_TEST(result(id, supervisor::probe::exec("/nonexistent/check")) ==
             "ill: exec /nonexistent/check: No such file or directory");
  BOOST_TEST(result(0, child({})) == "well: exit 0");
  BOOST_TEST(output(id).empty());  // what a probe writes is not the worker's
}

BOOST_FIXTURE_TEST_CASE(a_program_that_is_given_up_is_gone, fixture) {
  auto id = look(0, supervisor::probe::exec(TEST_CHILD, {"sleep"}));
  auto children = [] { return kernel::children_of(::getpid()).size(); };
  BOOST_TEST(children() == 1u);
  host->cancel_probe(id);
  BOOST_TEST(run_until([&] { return children() == 0; }));
  BOOST_TEST(!found.has_value());
}

BOOST_FIXTURE_TEST_CASE(a_look_that_is_given_up_is_told_of_no_more, fixture) {
  auto id = kernel_world::launch(script({"sleep"}));
  for (auto& p : {supervisor::probe::tcp("127.0.0.1:1"), supervisor::probe::heartbeat(),
                  supervisor::probe::log_line("x"), supervisor::probe::exec("/nonexistent")})
    host->cancel_probe(look(id, p));
  come_to_rest();
  BOOST_TEST(!found.has_value());
}

BOOST_FIXTURE_TEST_CASE(signs_of_life, fixture) {
  auto beats = supervisor::probe::heartbeat().within(3s);
  auto line = supervisor::probe::log_line("open for");
  auto what = script({"environment", "WATCHDOG_USEC", "environment", "SUPERVISOR_SLOT", "notify",
                      "WATCHDOG=1", "print", "now open for business", "sleep"});
  what.liveness = {beats, line};
  auto id = kernel_world::launch(what);
  BOOST_REQUIRE(run_until([&] { return output(id).size() == 3; }));
  BOOST_TEST(said(id, "WATCHDOG_USEC=3000000"));
  BOOST_TEST(said(id, "SUPERVISOR_SLOT=1"));
  // What was given before the look counts, once.
  BOOST_TEST(result(id, beats) == "well: WATCHDOG=1");
  BOOST_TEST(result(id, line) == "well: the line was written");
  look(id, beats);
  come_to_rest();
  BOOST_TEST(!found.has_value());
  BOOST_TEST(result(0, beats) == "ill: no worker");
}

BOOST_FIXTURE_TEST_CASE(a_worker_says_when_it_has_had_its_requests, fixture) {
  open(supervisor::spec("probes.counter"));
  BOOST_REQUIRE(opened());
  auto with_limit = [&](std::uint64_t limit) {
    supervisor::launch_request request;
    request.key = {"pool", launched.size() + 1, 1};
    request.generation = 1;
    request.request_limit = limit;
    launched.push_back(host->launch(request, [] {}));
    BOOST_REQUIRE(ready(launched.back()));
    return launched.back();
  };
  BOOST_TEST(view(with_limit(7)).spent);
  BOOST_TEST(view(with_limit(3)).spent);
  BOOST_TEST(!view(with_limit(8)).spent);
  auto unlimited = with_limit(0);
  BOOST_TEST(!view(unlimited).spent);
  for (auto id : launched) host->signal(id, SIGTERM);
}

BOOST_FIXTURE_TEST_CASE(a_command_may_ask_for_a_fresh_one, fixture) {
  auto id = kernel_world::launch(script({"notify", "X_RECYCLE=1", "sleep"}));
  BOOST_TEST(run_until([&] { return view(id).spent; }));
}

BOOST_FIXTURE_TEST_CASE(memory_and_cpu_time, fixture) {
  auto id = kernel_world::launch(script({"flood", "100000", "print", "done", "sleep"}));
  BOOST_REQUIRE(run_until([&] { return said(id, "done"); }));
  auto memory = host->memory(id);
  BOOST_REQUIRE(memory.has_value());
  BOOST_TEST(*memory > 16u << 10);
  BOOST_TEST(*memory < 64u << 20);
  auto used = host->cpu_time(id);
  BOOST_REQUIRE(used.has_value());
  BOOST_TEST((*used > 0ns && *used < 60s));
  BOOST_TEST((*host->cpu_time(id) >= *used));

  host->signal(id, SIGKILL);
  BOOST_REQUIRE(run_until([&] { return reported(id); }));
  BOOST_TEST(!host->memory(id).has_value());
  BOOST_TEST(!host->cpu_time(id).has_value());
  BOOST_TEST(!host->memory(4711).has_value());
  BOOST_TEST((kernel::time_asleep() >= -1ms));
}

BOOST_AUTO_TEST_CASE(when_a_process_was_made_is_known_to_a_tick) {
  auto before = std::chrono::steady_clock::now();
  auto pid = ::fork();
  if (pid == 0)
    for (;;) ::pause();
  auto after = std::chrono::steady_clock::now();
  auto at = kernel::started_at(pid);
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  BOOST_REQUIRE(at);
  BOOST_TEST((*at >= before));
  BOOST_TEST((*at <= after + 10ms));
  BOOST_TEST(!kernel::started_at(pid));
}

BOOST_FIXTURE_TEST_CASE(an_accept_queue_is_counted_and_watched, fixture) {
  auto first = listen("127.0.0.1:0");
  auto second = listen("other=127.0.0.1:0");
  BOOST_TEST(host->queued({}) == 0u);
  unsigned woken = 0;
  host->watch_queue({{"http"}}, [&] { ++woken; });
  auto given_up = host->watch_queue({{"http"}}, [&] { woken += 100; });
  host->watch_queue({{"other"}}, [&] { woken += 1000; });
  host->cancel_watch(given_up);
  come_to_rest();
  BOOST_TEST(woken == 0u);

  std::vector<kernel::unique_fd> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(connect_to(first));
  BOOST_REQUIRE(run_until([&] { return woken > 0; }));
  come_to_rest();
  BOOST_TEST(woken == 1u);  // once
  BOOST_TEST(host->queued({{"http"}}) == 3u);
  clients.push_back(connect_to(second));
  BOOST_TEST(host->queued({{"other"}}) == 1u);
  BOOST_TEST(host->queued({}) == 4u);
  // Where one waits already, that is told too.
  host->watch_queue({{"http"}}, [&] { woken = 7; });
  BOOST_TEST(run_until([&] { return woken == 7; }));
}

BOOST_FIXTURE_TEST_CASE(an_accept_queue_is_watched_wherever_its_name_leads, fixture) {
  auto before = listen("127.0.0.1:0");
  bool woken = false;
  host->watch_queue({{"http"}}, [&] { woken = true; });
  auto after = listen("127.0.0.2:0");
  BOOST_TEST(!try_to_connect(before));  // nothing of ours keeps it open
  auto client = connect_to(after);
  BOOST_REQUIRE(run_until([&] { return woken; }));
  host->watch_queue({{"http"}}, [&] { woken = false; });
  client.reset();
  host->close_listener("http");
  BOOST_TEST(!try_to_connect(after));
}

BOOST_FIXTURE_TEST_CASE(of_a_unix_socket_only_that_some_wait_is_known, fixture) {
  test::temporary_directory directory;
  auto there = listen("unix:" + (directory / "s"));
  BOOST_TEST(host->queued({}) == 0u);
  auto one = connect_to(there), two = connect_to(there);
  BOOST_TEST(host->queued({}) == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
