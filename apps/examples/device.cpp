// What alarm(2) round a blocking open(2) is for: a device or a FIFO as input, with a limit. Try:
// mkfifo queue; example_device queue 5, and within five seconds: echo hello > queue. Or a terminal:
// example_device "$(tty)"; a serial line waits for its carrier.
#include <supervisor/device.hpp>
#include <supervisor/errc.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <cstdio>
#include <cstdlib>

namespace asio = boost::asio;

asio::awaitable<void> copy_to_stdout(std::string path, std::chrono::seconds limit) {
  auto device = co_await supervisor::open_device(path, O_RDONLY, limit);
  std::fprintf(stderr, "%s is open\n", path.c_str());
  char buffer[4096];
  boost::system::error_code end;
  while (!end) {
    auto size = co_await device.async_read_some(asio::buffer(buffer),
                                                asio::redirect_error(asio::use_awaitable, end));
    std::fwrite(buffer, 1, size, stdout);
    std::fflush(stdout);
  }
}

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: %s PATH [SECONDS]\n", argv[0]), 2;
  std::chrono::seconds limit(argc > 2 ? std::atoi(argv[2]) : 10);
  asio::io_context context;
  int code = 0;
  asio::co_spawn(context, copy_to_stdout(argv[1], limit), [&](std::exception_ptr failure) {
    try {
      if (failure) std::rethrow_exception(failure);
    } catch (const boost::system::system_error& error) {
      std::fprintf(stderr, "%s\n", error.what());
      bool late = error.code() == supervisor::errc::timed_out;
      code = late ? supervisor::exit_code::timed_out : supervisor::exit_code::failed;
    }
  });
  context.run();
  return code;
}
