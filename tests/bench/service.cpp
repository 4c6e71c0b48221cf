// The service under measurement, on the library's public API alone.
#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <limits>
#include <string_view>
#include <tuple>

#include "contestant.hpp"
#include "supervisor/prefork.hpp"
#include "supervisor/run.hpp"
#include "supervisor/worker.hpp"

namespace asio = boost::asio;
using asio::awaitable;

namespace {

constexpr auto token = asio::as_tuple(asio::use_awaitable);

awaitable<void> answer(supervisor::connection client) {
  auto response = bench::response();
  char buffer[4096];
  for (bool more = true; more;) {
    auto got = co_await client.async_read_some(asio::buffer(buffer), token);
    if (std::get<0>(got)) co_return;
    std::string_view request(buffer, std::get<1>(got));
    more = request.find("Connection: close") == std::string_view::npos;
    co_await asio::async_write(client, asio::buffer(response), token);
  }
}

/// Nanoseconds each of a million calls takes, in the best of some rounds.
template <typename Work>
double time_of(Work work) {
  constexpr int rounds = 20, calls = 1'000'000;
  std::int64_t best = std::numeric_limits<std::int64_t>::max();
  for (int round = 0; round < rounds; ++round) {
    auto start = bench::now_ns();
    for (int i = 0; i < calls; ++i) work();
    best = std::min(best, bench::now_ns() - start);
  }
  return static_cast<double>(best) / calls;
}

/// What a request costs more inside a worker::request.
double time_accounting(supervisor::worker& self) {
  volatile int answers = 0;
  auto answer = [&] { answers = answers + 1; };
  auto none = time_of(answer);
  auto counted = time_of([&] {
    const supervisor::worker::request in_flight(self, "GET /some/path/of/usual/length");
    answer();
  });
  return counted - none;
}

awaitable<void> serve(supervisor::worker& self) {
  auto http = self.listener("http");
  if (bench::mode() == "accounting")
    bench::the_board().handled_ns = static_cast<std::int64_t>(1000 * time_accounting(self));
  bool close_at_once = bench::mode() == "close";
  self.ready();
  ++bench::the_board().ready;
  for (;;) {
    auto client = co_await self.accept(http);
    if (!client) co_return;
    if (close_at_once) continue;
    bench::note_accepted(client->native_handle());
    self.spawn(answer(std::move(*client)));
  }
}

awaitable<void> stamp_settled(supervisor::supervisor& self) {
  auto pool = self.find_pool("bench");
  co_await pool->settled();
  bench::the_board().settled_ns = bench::now_ns();
}

awaitable<int> keep_pool(supervisor::supervisor& self) {
  supervisor::prefork_options options;
  options.workers = bench::workers();
  options.listeners.push_back(
      supervisor::listener_spec::parse("127.0.0.1:" + std::to_string(bench::port())));
  options.started = [](supervisor::supervisor& s, const auto&) { s.spawn(stamp_settled(s)); };
  return supervisor::prefork(self, "bench", supervisor::spec("serve"), std::move(options));
}

awaitable<void> stamp(supervisor::signal_event event) {
  bench::note_handled(static_cast<std::uint32_t>(event.count));
  co_return;
}

awaitable<int> stamp_signals(supervisor::supervisor& self) {
  supervisor::handlers on;
  on(SIGTTIN, stamp);
  on(SIGRTMIN, stamp, supervisor::delivery::queue);
  ++bench::the_board().ready;
  co_await self.serve(on, supervisor::until(SIGTERM));
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return supervisor::run(argc, argv, bench::mode() == "signal" ? stamp_signals : keep_pool,
                         {supervisor::worker_function{"serve", bench::preload, serve}});
}
