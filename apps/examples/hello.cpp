// A prefork service in twenty lines: two workers on 127.0.0.1:8080, driven by signals.
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <supervisor/prefork.hpp>
#include <supervisor/worker.hpp>

namespace asio = boost::asio;

asio::awaitable<void> answer(supervisor::connection client) {
  std::string request;
  co_await asio::async_read_until(client, asio::dynamic_buffer(request, 8192), "\r\n\r\n",
                                  asio::use_awaitable);
  std::string_view reply =
      "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n";
  co_await asio::async_write(client, asio::buffer(reply), asio::use_awaitable);
}

asio::awaitable<void> serve(supervisor::worker& self) {
  auto http = self.listener("http");
  self.ready();
  for (;;) {
    auto client = co_await self.accept(http);  // empty when the worker is told to leave
    if (!client) co_return;
    self.spawn(answer(std::move(*client)));  // awaited before the worker leaves
  }
}

int main(int argc, char** argv) { return supervisor::main(argc, argv, {"hello", serve}); }
