// A program of somebody else's: a service of two workers on the unix socket that it is given.
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
  std::string_view reply = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nserved\n";
  co_await asio::async_write(client, asio::buffer(reply), asio::use_awaitable);
}

asio::awaitable<void> serve(supervisor::worker& self) {
  auto http = self.listener("http");
  self.ready();
  for (;;) {
    auto client = co_await self.accept(http);
    if (!client) co_return;
    self.spawn(answer(std::move(*client)));
  }
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  supervisor::prefork_options options;
  options.listeners = {supervisor::listener_spec::parse(std::string("unix:") + argv[1])};
  return supervisor::main(argc, argv, {"consumer", serve}, options);
}
