// A worker's whole life: what is loaded once, what each worker opens, what it shows, how it ends.
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cstdio>
#include <string>

#include "supervisor/prefork.hpp"
#include "supervisor/worker.hpp"

namespace asio = boost::asio;

namespace {

std::string words;          // shared by all workers, copy on write
std::FILE* book = nullptr;  // each worker's own

void load() { words = "Hello from slot "; }
void open_book(supervisor::worker&) { book = std::tmpfile(); }
void close_book(supervisor::worker&) { std::fclose(book); }

asio::awaitable<void> answer(supervisor::worker& self, supervisor::connection client) {
  const supervisor::worker::request in_flight(self, "greeting");
  const auto text = words + std::to_string(self.slot()) + "\n";
  std::fputs(text.c_str(), book);
  boost::system::error_code ignored;
  co_await asio::async_write(client, asio::buffer(text),
                             asio::redirect_error(asio::use_awaitable, ignored));
}

asio::awaitable<int> serve(supervisor::worker& self) {
  if (!book) co_return 74;  // the exit code, EX_IOERR
  auto http = self.listener("http");
  self.ready();
  for (;;) {
    auto client = co_await self.accept(http);
    if (!client) co_return 0;
    self.spawn(answer(self, std::move(*client)));
  }
}

}  // namespace

int main(int argc, char** argv) {
  auto web = supervisor::worker_function("web", serve)
                 .preload(load)             // once, in the mold
                 .after_clone(open_book)    // first in each worker
                 .before_exit(close_book);  // last
  return supervisor::main(argc, argv, std::move(web));
}
