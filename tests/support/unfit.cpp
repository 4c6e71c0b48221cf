// A program that a master is upgraded to and that is not fit for it, in the way that the file named
// by TEST_UNFIT says. It gets the arguments of `prefork run`.
#include <unistd.h>

#include <boost/asio/awaitable.hpp>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>

#include "keeper_client.hpp"
#include "kernel/descriptors.hpp"
#include "kernel/sockets.hpp"
#include "supervisor/run.hpp"

namespace {

std::string way() {
  const char* path = std::getenv("TEST_UNFIT");
  std::string word;
  if (path) std::ifstream(path) >> word;
  return word;
}

/// Answers the check, and no more.
int answer(bool readable) {
  supervisor::keeper_client client(*supervisor::take_keeper_link(), [&](auto) {
    if (!readable) throw std::runtime_error("the state is not for me");
  });
  return 4;
}

/// Says that it could go on, and ends.
int promise() {
  auto link = *supervisor::take_keeper_link();
  supervisor::keeper_wire::record said;
  supervisor::kernel::unique_fd state;
  using supervisor::kernel::received;
  while (supervisor::kernel::receive_record(link.socket.get(), &said, sizeof said, state) ==
         received::nothing)
    supervisor::kernel::wait_readable(link.socket.get(), std::chrono::hours(1));
  said.what = supervisor::keeper_wire::kind::prepared;
  supervisor::kernel::send_packet(link.socket.get(),
                                  {reinterpret_cast<const char*>(&said), sizeof said});
  return 6;
}

/// Goes on in earnest, for a second.
int serve(int argc, char** argv) {
  supervisor::run_options how;
  how.log.json = true;
  for (int i = 1; i + 1 < argc; ++i)
    if (std::string(argv[i]) == "--control") how.control = argv[i + 1];
  auto decide = [](supervisor::supervisor& self) -> boost::asio::awaitable<int> {
    co_await self.sleep_for(std::chrono::seconds(1));
    ::raise(SIGKILL);
    co_return 0;
  };
  auto idle = [](supervisor::worker&) -> boost::asio::awaitable<void> { co_return; };
  return supervisor::run(argc, argv, decide, {supervisor::worker_function("demo", idle)}, how);
}

}  // namespace

int main(int argc, char** argv) {
  // Until it is told another way.
  while (way() == "hangs") ::usleep(10'000);
  auto how = way();
  if (how == "exits") return 3;
  auto as_keeper = supervisor::keeper_role(argc, argv);
  if (as_keeper) return *as_keeper;
  try {
    if (how == "promises") return promise();
    return how == "dies" ? serve(argc, argv) : answer(how == "leaves");
  } catch (const std::exception&) {
    return 5;
  }
}
