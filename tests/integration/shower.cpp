// Signals that interrupt every call, thousands a second, while the library does all it can do: no
// call of its own fails with EINTR, and no signal is lost.
#include <fcntl.h>
#include <sys/stat.h>

#include <boost/test/unit_test.hpp>

#include "supervisor/device.hpp"
#include "supervisor/worker.hpp"
#include "support/app.hpp"
#include "support/leftovers.hpp"
#include "support/policy_process.hpp"
#include "support/signal_world.hpp"
#include "support/temporary.hpp"

namespace asio = boost::asio;
using asio::awaitable;
using namespace std::chrono_literals;

namespace {

constexpr int drops = 10'000;
const int counted = SIGRTMIN + 5;

awaitable<void> serve_quietly(supervisor::worker& self) {
  self.signals().restarts(SIGUSR1, false);
  self.signals().watch(SIGUSR1);
  self.ready();
  co_await self.stopping();
}
const test::function quiet{"shower.quiet", serve_quietly};

/// A pool command that must succeed.
void expect(const supervisor::outcome& o, const char* what) {
  if (!o.ok) throw std::runtime_error(std::string(what) + ": " + o.reason);
}

awaitable<void> exercise(supervisor::pool& pool) {
  auto more = co_await pool.resize(3);
  expect(more, "resize to 3");
  auto rolled = co_await pool.roll();
  expect(rolled, "roll");
  auto fewer = co_await pool.resize(1);
  expect(fewer, "resize to 1");
}

awaitable<int> stand_in_the_rain(supervisor::supervisor& self, std::string fifo) {
  std::int64_t sum = 0;
  std::uint64_t merged = 0;
  for (int number : {SIGUSR1, counted}) self.signals().restarts(number, false);
  auto exact = self.signals().on(counted, [&](supervisor::signal_event e) -> awaitable<void> {
    sum += e.value;
    co_return;
  });
  auto about = self.signals().on(SIGUSR1, [&](supervisor::signal_event e) -> awaitable<void> {
    merged += e.count;
    co_return;
  });
  self.listen(supervisor::listener_spec::parse("127.0.0.1:0"));
  auto talking = supervisor::spec::command(TEST_CHILD, {"flood", "500", "print", "up", "sleep"});
  talking.alive_for = 5ms;
  auto commands = self.pool("commands", talking, 1);
  auto functions = self.pool("functions", supervisor::spec("shower.quiet"), 1);
  self.note("let it rain");
  for (int round = 0; sum < drops || round < 3; ++round) {
    co_await exercise(commands);
    co_await exercise(functions);
    auto opening = supervisor::open_device(fifo, O_RDWR, 20s);
    auto device = co_await std::move(opening);
  }
  if (sum != drops || merged == 0) throw std::runtime_error("counted " + std::to_string(sum));
  co_return 17;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(shower, test::leftovers)

BOOST_AUTO_TEST_CASE(nothing_of_ours_is_interrupted_and_nothing_lost) {
  test::temporary_directory there;
  auto fifo = there / "fifo";
  BOOST_REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  supervisor::run_options options;
  options.control = there / "c.sock";
  options.pidfile = there / "pid";
  auto decide = [fifo](supervisor::supervisor& self) { return stand_in_the_rain(self, fifo); };
  test::policy_process self(decide, options);
  self.wait_for("let it rain");
  test::forked cloud([pid = self.pid()] {
    for (int i = 0; i < drops; ++i) {
      while (test::queue_signal(pid, counted, 1) != 0)
        if (errno != EAGAIN) return 1;
      if (::kill(pid, SIGUSR1) != 0) return 2;
    }
    return 0;
  });
  for (int i = 0; i < 50; ++i) {
    test::http_request asked(options.control, "/status");
    BOOST_TEST(asked.answer().status == 200);
  }
  BOOST_TEST(cloud.wait() == 0);
  BOOST_TEST(self.finish() == 17, self.log());
  for (auto words : {"Interrupted", "EINTR", "failed", "crash"})
    BOOST_TEST(!self.says(words), words << "\n" << self.log());
}

BOOST_AUTO_TEST_SUITE_END()
