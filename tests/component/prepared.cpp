// Workers whose pipes and channel were there before them.
#include <sys/resource.h>

#include <boost/asio/awaitable.hpp>
#include <boost/test/unit_test.hpp>
#include <filesystem>

#include "supervisor/worker.hpp"
#include "support/function_world.hpp"
#include "support/functions.hpp"
#include "support/temporary.hpp"

using supervisor::spec;
using fixture = test::function_world;
namespace asio = boost::asio;
namespace fs = std::filesystem;
namespace kernel = supervisor::kernel;

namespace {

asio::awaitable<void> serve_steadily(supervisor::worker& self) {
  self.ready();
  co_await self.stopping();
}

asio::awaitable<void> shout(supervisor::worker&) {
  std::fprintf(stderr, "cannot serve\n");
  std::exit(70);
  co_return;
}

const test::function steady{"prepared_steady", serve_steadily};
const test::function shouting{"prepared_shouting", shout};

}  // namespace

BOOST_AUTO_TEST_SUITE(prepared)

BOOST_FIXTURE_TEST_CASE(last_words_of_a_worker_are_in_its_report, fixture) {
  open(spec("prepared_shouting"));
  BOOST_REQUIRE(opened());
  for (int i = 0; i < 3; ++i) {  // also of those that were prepared
    auto id = start();
    BOOST_REQUIRE(run_until([&] { return reported(id); }));
    BOOST_TEST(report(id).last_output == "cannot serve\n");
    come_to_rest();
  }
}

BOOST_FIXTURE_TEST_CASE(log_file_is_opened_at_the_launch_and_not_before, fixture) {
  test::temporary_directory directory;
  auto what = spec("prepared_shouting");
  what.err = {supervisor::output::to::file, directory / "log"};
  open(what);
  BOOST_REQUIRE(opened());
  for (int i = 0; i < 3; ++i) {
    auto id = start();
    BOOST_REQUIRE(run_until([&] { return reported(id); }));
    come_to_rest();
    BOOST_TEST(fs::remove(directory / "log"));  // rotated
  }
}

BOOST_FIXTURE_TEST_CASE(what_was_prepared_goes_with_its_program, fixture) {
  auto open_descriptors = [] {
    return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
  };
  auto before = open_descriptors();
  for (unsigned generation = 1; generation <= 3; ++generation) {
    open(spec("prepared_steady"), generation);
    BOOST_REQUIRE(opened(generation));
    std::vector<supervisor::child_id> ids;
    for (int i = 0; i < 6; ++i) ids.push_back(start(generation));
    for (auto id : ids) BOOST_REQUIRE(ready(id));
    come_to_rest();
    for (auto id : ids) BOOST_CHECK(!host->signal(id, SIGTERM));
    for (auto id : ids) BOOST_REQUIRE(run_until([&] { return reported(id); }));
    host->close_program("pool", generation);
  }
  BOOST_TEST(run_until([] { return kernel::children_of(::getpid()).empty(); }));
  for (auto id : std::exchange(launched, {})) host->forget(id);
  context.restart();
  context.poll();
  BOOST_TEST(open_descriptors() == before);
}

BOOST_FIXTURE_TEST_CASE(where_descriptors_are_few_a_worker_keeps_four, fixture) {
  auto open_descriptors = [] {
    return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
  };
  open(spec("prepared_steady"));
  BOOST_REQUIRE(opened());
  rlimit before{};
  BOOST_REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  // Room for 7 of each of 18 beside what there is, but not for 8 of each.
  auto few = before;
  few.rlim_cur = static_cast<rlim_t>(open_descriptors() + 18 * 7);
  BOOST_REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  const auto at_first = open_descriptors();
  constexpr int count = 24;
  for (int i = 0; i < count; ++i) {
    auto id = start();
    BOOST_CHECK(ready(id));
  }
  BOOST_TEST(open_descriptors() - at_first <= count * 4);
  BOOST_REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
}

BOOST_AUTO_TEST_SUITE_END()
