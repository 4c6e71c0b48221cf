// The example that opens a device with a limit, driven as a user would.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <boost/test/unit_test.hpp>
#include <optional>

#include "support/app.hpp"
#include "support/leftovers.hpp"
#include "support/pty.hpp"
#include "support/temporary.hpp"

BOOST_FIXTURE_TEST_SUITE(device, test::leftovers)

namespace {

struct fifo {
  fifo() { BOOST_REQUIRE(::mkfifo(path.c_str(), 0600) == 0); }
  test::temporary_directory there;
  std::string path = there / "queue";
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_fifo_is_read_once_somebody_writes) {
  fifo queue;
  test::process example({EXAMPLE_DEVICE, queue.path, "30"});
  {
    test::unique_fd writer(::open(queue.path.c_str(), O_WRONLY | O_CLOEXEC));  // waits as well
    BOOST_TEST(::write(writer.get(), "hello\n", 6) == 6);
  }
  auto end = example.finish();
  BOOST_TEST(end.code == 0, end.err);
  BOOST_TEST(end.out == "hello\n");
}

BOOST_AUTO_TEST_CASE(one_that_nobody_writes_to_is_given_up) {
  fifo queue;
  auto end = test::run({EXAMPLE_DEVICE, queue.path, "1"});
  BOOST_TEST(end.code == 6, end.err);
  BOOST_TEST(end.err.find("opening " + queue.path + ": not open within 1 s: timed out") == 0u,
             end.err);
  test::await_no_process();
}

BOOST_AUTO_TEST_CASE(a_terminal_is_read_until_it_hangs_up) {
  auto terminal = std::make_optional<test::pty>();
  test::process example({EXAMPLE_DEVICE, ::ptsname(terminal->master()), "30"});
  BOOST_TEST(example.line().value_or("").ends_with(" is open"));
  BOOST_TEST(::write(terminal->master(), "typed\n", 6) == 6);
  // Read, and not only sent: what still waits in a line that hangs up is dropped.
  BOOST_TEST(example.await_output("typed\n"));
  terminal.reset();
  auto end = example.finish();
  BOOST_TEST(end.code == 0, end.err);
  BOOST_TEST(end.out == "typed\n");
}

BOOST_AUTO_TEST_SUITE_END()
