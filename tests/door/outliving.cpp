// What others still hold when a supervisor ends, and what they do at its worst moments.
#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <filesystem>

#include "door/host_program.hpp"
#include "supervisor/errc.hpp"

namespace asio = boost::asio;
using namespace test;
using supervisor::errc;

namespace {

void expect_closed(const supervisor::pool& pool) {
  BOOST_TEST(pool.name() == "web");
  BOOST_CHECK(get(pool.async_resize(3, use_future)).error == errc::pool_closed);
  BOOST_CHECK(get(pool.async_settled(use_future)).error == errc::pool_closed);
  BOOST_CHECK(get(pool.async_stop(true, use_future)).error == errc::pool_closed);
  auto unsent = get(code([&](auto token) { pool.async_signal(0, SIGKILL, token); }));
  BOOST_CHECK(unsent == errc::pool_closed);
  auto status = get(pool.async_status(use_future));
  BOOST_TEST(status.name == "web");
  BOOST_TEST(status.slots.empty());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(outliving)

BOOST_FIXTURE_TEST_CASE(a_pool_handle_answers_after_its_supervisor, host_program) {
  run();
  std::optional<supervisor::supervisor> sup(std::in_place, context.get_executor(), options());
  auto web = get(sup->async_pool("web", worker(), 1, use_future));
  get(sup->async_stop(true, use_future));
  sup.reset();
  expect_closed(web);
}

BOOST_FIXTURE_TEST_CASE(a_pool_handle_whose_name_was_given_again_answers_too, host_program) {
  run();
  std::optional<supervisor::supervisor> sup(std::in_place, context.get_executor(), options());
  auto first = get(sup->async_pool("web", worker(), 1, use_future));
  BOOST_TEST(get(first.async_stop(true, use_future)).ok);
  auto second = get(sup->async_pool("web", worker(), 1, use_future));
  BOOST_TEST(get(second.async_settled(use_future)).ok);
  expect_closed(first);
  get(sup->async_stop(true, use_future));
  sup.reset();
  expect_closed(first);
  expect_closed(second);
}

BOOST_FIXTURE_TEST_CASE(a_supervisor_may_end_in_a_handler_of_its_own, host_program) {
  run();
  auto sup = std::make_shared<std::optional<supervisor::supervisor>>();
  sup->emplace(context.get_executor(), options());
  auto web = get((*sup)->async_pool("web", worker(), 2, use_future));
  std::promise<void> over;
  (*sup)->async_stop(true, [&over, sup](boost::system::error_code) {
    sup->reset();
    over.set_value();
  });
  get(over.get_future());
  expect_closed(web);
}

BOOST_FIXTURE_TEST_CASE(an_exception_of_a_handler_leaves_by_run_and_breaks_nothing, leftovers) {
  asio::io_context context;
  supervisor::supervisor sup(context.get_executor());
  std::optional<supervisor::pool> web;
  sup.async_pool("web", worker(), 2, [&](std::exception_ptr, supervisor::pool opened) {
    web = opened;
    throw std::runtime_error("of the program's own");
  });
  BOOST_CHECK_THROW(context.run(), std::runtime_error);
  BOOST_REQUIRE(web);
  std::optional<supervisor::outcome> settled;
  web->async_settled([&](auto now) { settled = now; });
  while (!settled) context.run_one();
  BOOST_TEST(settled->ok);
  bool stopped = false;
  sup.async_stop(true, [&](auto) { stopped = true; });
  while (!stopped) context.run_one();
}

BOOST_FIXTURE_TEST_CASE(a_loop_that_is_stopped_and_run_again_goes_on, host_program) {
  run();
  supervisor::supervisor sup(context.get_executor(), options());
  auto web = get(sup.async_pool("web", worker(), 1, use_future));
  BOOST_TEST(get(web.async_settled(use_future)).ok);
  context.stop();
  join();
  auto growing = web.async_resize(3, use_future);
  auto status = web.async_status(use_future);
  BOOST_CHECK(growing.wait_for(0s) == std::future_status::timeout);
  run();
  BOOST_TEST(get(std::move(growing)).ok);
  BOOST_TEST(get(std::move(status)).target == 3u);
  get(sup.async_stop(false, use_future));
}

BOOST_FIXTURE_TEST_CASE(what_waits_goes_with_an_io_context_that_runs_no_more, leftovers) {
  std::future<supervisor::outcome> settling;
  {
    asio::io_context context;
    supervisor::supervisor sup(context.get_executor());
    std::optional<supervisor::pool> web;
    sup.async_pool("web", worker(), 0, [&](std::exception_ptr, auto opened) { web = opened; });
    while (!web) context.run_one();
    settling = web->async_settled(use_future);
  }
  BOOST_CHECK_THROW(settling.get(), std::future_error);
}

BOOST_FIXTURE_TEST_CASE(a_worker_costs_the_descriptors_that_are_told, host_program) {
  auto count = [] {
    unsigned open = 0;
    for (auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      static_cast<void>(entry);
      ++open;
    }
    return open;
  };
  run();
  supervisor::supervisor sup(context.get_executor(), options());
  auto web = get(sup.async_pool("web", worker(), 1, use_future));
  BOOST_TEST(get(web.async_settled(use_future)).ok);
  auto before = count();
  BOOST_TEST(get(web.async_resize(11, use_future)).ok);
  BOOST_TEST(count() - before == 60u);
  get(sup.async_stop(true, use_future));
}

BOOST_AUTO_TEST_SUITE_END()
