// The composition root of the library door: a supervisor on the real host, in somebody else's
// program.
#include "supervisor/library.hpp"

#include <unistd.h>

#include <boost/asio/strand.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>

#include "host/foundation.hpp"
#include "kernel/child_statuses.hpp"
#include "kernel/descriptors.hpp"
#include "process/kernel_host.hpp"
#include "supervisor/errc.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

std::pair<time_point, wall_time> clocks() {
  return {std::chrono::steady_clock::now(), std::chrono::system_clock::now()};
}

void complain(const std::string& name, severity level, std::string_view line) {
  if (level < severity::warning) return;
  auto text = name + ": " + std::string(line) + '\n';
  kernel::write_now(STDERR_FILENO, text);
}

kernel_host_options host_options(library_options& options) {
  kernel_host_options how;
  if (options.on_line)
    how.on_line = [tell = std::move(options.on_line)](const child_key& key, unsigned slot,
                                                      bool is_stderr, std::string_view line) {
      tell(key.pool, slot, is_stderr, line);
    };
  how.raise_descriptor_limit = options.raise_descriptor_limit;
  how.end_with_thread = options.end_with_thread;
  how.last_wait = {};
  return how;
}

std::unique_ptr<foundation> make_foundation(asio::any_io_executor executor,
                                            library_options options) {
  if (kernel::child_statuses_are_lost())
    throw boost::system::system_error(errc::statuses_lost, options.name);
  auto made = std::make_unique<foundation>(clocks);
  made->name = options.name;
  auto tell = [name = options.name, log = std::move(options.log)](const event& e) {
    auto line = describe(e, clocks().first);
    if (log)
      log(severity_of(e), line);
    else
      complain(name, severity_of(e), line);
  };
  made->sink = made->log.subscribe(std::move(tell));
  made->outside =
      make_kernel_host(asio::make_strand(std::move(executor)), made->log, host_options(options));
  return made;
}

}  // namespace

supervisor::supervisor(asio::any_io_executor executor)
    : supervisor(std::move(executor), library_options()) {}
supervisor::supervisor(asio::any_io_executor executor, library_options options)
    : supervisor(make_foundation(std::move(executor), std::move(options))) {}

}  // namespace supervisor
