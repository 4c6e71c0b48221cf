// open(2) with a limit: FIFOs that wait for their other side, terminals, and what is left behind.
#include "supervisor/device.hpp"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <filesystem>
#include <list>

#include "kernel/descriptors.hpp"
#include "supervisor/errc.hpp"
#include "support/leftovers.hpp"
#include "support/pty.hpp"
#include "support/signal_world.hpp"
#include "support/temporary.hpp"

namespace asio = boost::asio;
namespace kernel = supervisor::kernel;
using descriptor = asio::posix::stream_descriptor;
using test::forked;
using namespace std::chrono_literals;

namespace {

volatile sig_atomic_t child_signals = 0;

asio::awaitable<void> take(asio::awaitable<descriptor> opening, std::optional<descriptor>& into) {
  into = co_await std::move(opening);
}

struct world : test::leftovers {
  world() {
    BOOST_REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    child_signals = 0;
    ::signal(SIGCHLD, [](int) { child_signals = child_signals + 1; });
  }
  ~world() { ::signal(SIGCHLD, SIG_DFL); }

  struct opening {
    std::optional<descriptor> device;
    boost::system::error_code error;
    std::string what;
    bool over = false;
    asio::cancellation_signal cancel;

    void ended(const std::exception_ptr& failure) {
      over = true;
      try {
        if (failure) std::rethrow_exception(failure);
      } catch (const boost::system::system_error& e) {
        error = e.code();
        what = e.what();
      }
    }
  };
  opening& start(const std::string& path, int flags, supervisor::duration limit = 30s) {
    auto& o = all.emplace_back();
    asio::co_spawn(
        context, take(supervisor::open_device(path, flags, limit), o.device),
        asio::bind_cancellation_slot(o.cancel.slot(), [&o](std::exception_ptr e) { o.ended(e); }));
    context.restart();
    context.poll();
    return o;
  }
  opening& run(const std::string& path, int flags, supervisor::duration limit = 30s) {
    auto& o = start(path, flags, limit);
    context.restart();
    context.run_for(40s);
    BOOST_REQUIRE(o.over);
    return o;
  }
  std::string read_from(opening& o) {
    char buffer[64];
    BOOST_REQUIRE(kernel::wait_readable(o.device->native_handle(), 20s));
    auto size = ::read(o.device->native_handle(), buffer, sizeof buffer);
    return {buffer, size > 0 ? static_cast<std::size_t>(size) : 0};
  }
  /// Nobody has it open for reading, not even a process that is about to go.
  bool has_no_reader() const {
    return ::open(fifo.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC) < 0 && errno == ENXIO;
  }

  test::temporary_directory there;
  std::string fifo = there / "fifo";
  asio::io_context context{1};
  std::list<opening> all;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(device, world)

BOOST_AUTO_TEST_CASE(a_fifo_opens_when_its_other_side_comes) {
  auto& o = start(fifo, O_RDONLY);
  BOOST_TEST(!o.over);
  forked writer([path = fifo.c_str()] {
    int fd = ::open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && ::write(fd, "hello", 5) == 5 ? 0 : 1;
  });
  context.restart();
  context.run_for(20s);
  BOOST_REQUIRE(o.device.has_value());
  BOOST_TEST(read_from(o) == "hello");
  BOOST_TEST(writer.wait() == 0);
  int fd = o.device->native_handle();
  BOOST_TEST((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
  BOOST_TEST((::fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
  BOOST_TEST((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
}

BOOST_AUTO_TEST_CASE(and_for_writing_too) {
  auto& o = start(fifo, O_WRONLY);
  kernel::unique_fd reader(::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  context.restart();
  context.run_for(20s);
  BOOST_REQUIRE(o.device.has_value());
  BOOST_TEST(::write(o.device->native_handle(), "x", 1) == 1);
}

BOOST_AUTO_TEST_CASE(where_nobody_comes_it_gives_up_and_leaves_nothing) {
  auto& o = run(fifo, O_RDONLY, 50ms);
  BOOST_TEST((o.error == supervisor::errc::timed_out));
  BOOST_TEST(o.what.find("opening " + fifo + ": not open within 50 ms: timed out") == 0u, o.what);
  BOOST_TEST(has_no_reader());
  BOOST_TEST(child_signals == 0);
}

BOOST_AUTO_TEST_CASE(cancelled_it_leaves_nothing_either) {
  auto& o = start(fifo, O_RDONLY);
  asio::post(context, [&] { o.cancel.emit(asio::cancellation_type::terminal); });
  context.restart();
  context.run_for(20s);
  BOOST_TEST(o.over);
  BOOST_TEST((o.error == asio::error::operation_aborted));
  BOOST_TEST(has_no_reader());
  BOOST_TEST(child_signals == 0);
}

BOOST_AUTO_TEST_CASE(a_loop_may_go_while_one_waits) {
  {
    asio::io_context brief(1);
    std::optional<descriptor> none;
    asio::co_spawn(brief, take(supervisor::open_device(fifo, O_RDONLY, 1h), none),
                   [](std::exception_ptr) { BOOST_ERROR("resumed"); });
    brief.poll();
    BOOST_TEST(kernel::children_of(::getpid()).size() == 1u);
  }
  BOOST_TEST(has_no_reader());
}

BOOST_AUTO_TEST_CASE(the_helper_holds_one_descriptor_and_is_no_business_of_others) {
  start(fifo, O_RDONLY);
  auto helpers = kernel::children_of(::getpid());
  BOOST_REQUIRE(helpers.size() == 1u);
  auto open = std::filesystem::directory_iterator("/proc/" + std::to_string(helpers[0]) + "/fd");
  BOOST_TEST(std::distance(begin(open), end(open)) == 1);
  BOOST_TEST(::waitpid(-1, nullptr, WNOHANG) == -1);
  BOOST_TEST(errno == ECHILD);
  all.back().cancel.emit(asio::cancellation_type::terminal);
  context.restart();
  context.run_for(20s);
  BOOST_TEST(all.back().over);
}

BOOST_AUTO_TEST_CASE(a_helper_that_somebody_kills_is_an_error) {
  auto& o = start(fifo, O_RDONLY);
  for (pid_t pid : kernel::children_of(::getpid())) ::kill(pid, SIGKILL);
  context.restart();
  context.run_for(20s);
  BOOST_TEST(o.error.value() == EIO);
  BOOST_TEST(o.what.find(fifo) != std::string::npos);
}

BOOST_AUTO_TEST_CASE(twenty_wait_for_one) {
  for (int i = 0; i < 20; ++i) start(fifo, O_RDONLY);
  kernel::unique_fd writer(::open(fifo.c_str(), O_WRONLY | O_CLOEXEC));
  context.restart();
  context.run_for(20s);
  for (auto& o : all) BOOST_TEST(o.device.has_value(), o.what);
  BOOST_TEST(child_signals == 0);
}

BOOST_AUTO_TEST_CASE(a_terminal_opens_and_is_read) {
  test::pty terminal;
  BOOST_REQUIRE(::grantpt(terminal.master()) == 0);
  auto& o = run(::ptsname(terminal.master()), O_RDWR);
  BOOST_REQUIRE(o.device.has_value());
  BOOST_TEST(::isatty(o.device->native_handle()) == 1);
  BOOST_TEST(::write(terminal.master(), "typed\n", 6) == 6);
  BOOST_TEST(read_from(o) == "typed\n");
}

BOOST_AUTO_TEST_CASE(what_need_not_wait_opens_too) {
  BOOST_TEST(run("/dev/null", O_WRONLY).device.has_value());
  BOOST_TEST(run(there / "new", O_RDWR | O_CREAT).device.has_value());
  struct stat made;
  BOOST_TEST(::stat((there / "new").c_str(), &made) == 0);
  mode_t mask = ::umask(022);
  ::umask(mask);
  BOOST_TEST((made.st_mode & 0777) == (0666 & ~mask));
}

BOOST_AUTO_TEST_CASE(errors_are_those_of_open_with_the_path) {
  const std::tuple<std::string, int, int> table[] = {
      {there / "missing", O_RDONLY, ENOENT},
      {there.path(), O_WRONLY, EISDIR},
      {fifo, O_WRONLY | O_NONBLOCK, ENXIO},
      {fifo + "/below", O_RDONLY, ENOTDIR},
  };
  for (auto& [path, flags, error] : table) {
    auto& o = run(path, flags);
    BOOST_TEST(o.error.value() == error, path);
    BOOST_TEST(o.what.find("opening " + path + ": ") == 0u, o.what);
  }
}

BOOST_AUTO_TEST_SUITE_END()
