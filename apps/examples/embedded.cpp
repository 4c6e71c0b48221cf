// A supervisor inside a program that has a loop, threads and signals of its own: it keeps a helper
// running while the program does something else. Try: kill the helper; HUP rolls it; ctrl-C ends.
#include <unistd.h>
#include <supervisor/library.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdio>
#include <exception>
#include <thread>
#include <vector>

namespace asio = boost::asio;

// On any executor of the program: the async_ operations may be called from anywhere.
asio::awaitable<void> program(supervisor::supervisor& helpers) {
  auto what = supervisor::spec::command("sleep").arg("1000000");
  auto pool = co_await helpers.async_pool("helper", what, 1, asio::use_awaitable);
  auto settled = co_await pool.async_settled(asio::use_awaitable);
  std::printf("the helper %s\n", settled.ok ? "runs" : settled.reason.c_str());

  asio::signal_set signals(co_await asio::this_coro::executor, SIGHUP, SIGINT, SIGTERM);
  for (;;) {
    auto number = co_await signals.async_wait(asio::use_awaitable);
    if (number != SIGHUP) break;
    co_await pool.async_roll(asio::use_awaitable);
  }
  co_await helpers.async_stop(false, asio::use_awaitable);  // else the helper would be left alone
}

int main() {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  std::printf("I am process %d\n", ::getpid());
  asio::io_context context;

  supervisor::library_options options;
  options.name = "helpers";
  options.log = [](supervisor::severity level, std::string_view line) {
    if (level < supervisor::severity::info) return;
    std::printf("%s: %.*s\n", to_string(level).data(), static_cast<int>(line.size()), line.data());
  };
  supervisor::supervisor helpers(context.get_executor(), std::move(options));

  asio::co_spawn(asio::make_strand(context), program(helpers), [&](std::exception_ptr error) {
    context.stop();
    if (error) std::rethrow_exception(error);
  });
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back([&] { context.run(); });
  context.run();
  for (auto& thread : threads) thread.join();
}
