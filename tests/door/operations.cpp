// Every operation from any thread, with every kind of token.
#include <array>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "door/host_program.hpp"
#include "supervisor/errc.hpp"

namespace asio = boost::asio;
using namespace test;
using supervisor::errc;
using supervisor::outcome;

namespace {

/// Ready only when it says so, which it never does.
supervisor::spec never_ready() {
  auto what = worker();
  what.ready = supervisor::readiness::notify;
  return what;
}

asio::awaitable<unsigned> grow(supervisor::pool pool) {
  auto done = co_await pool.async_resize(3, asio::use_awaitable);
  auto status = co_await pool.async_status(asio::use_awaitable);
  co_return done.ok ? status.ready : 0;
}

asio::awaitable<unsigned> keep(supervisor::supervisor& sup) {
  auto pool = sup.pool("own", worker(), 2);
  auto settled = co_await pool.settled();
  auto ready = settled.ok ? pool.ready() : 0;
  co_await sup.stop_all();
  co_return ready;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(operations)

BOOST_FIXTURE_TEST_CASE(all_of_a_pool, host_program) {
  run();
  supervisor::supervisor sup(context.get_executor(), options());
  auto web = get(sup.async_pool("web", worker(), 2, use_future));
  BOOST_TEST(web.name() == "web");
  BOOST_TEST(get(web.async_settled(use_future)).ok);
  BOOST_TEST(get(web.async_resize(1, use_future)).ok);
  auto first = only_pid(get(web.async_status(use_future)));
  // The oldest left.
  BOOST_TEST(get(web.async_restart(1, use_future)).ok);
  auto second = only_pid(get(web.async_status(use_future)));
  BOOST_TEST(second != first);
  BOOST_TEST(get(web.async_roll(use_future)).ok);
  BOOST_TEST(get(web.async_roll(worker({"print", "next", "sleep"}), use_future)).ok);
  BOOST_TEST(get(web.async_status(use_future)).generation == 3u);
  BOOST_TEST(get(web.async_drain(use_future)).ok);
  BOOST_TEST(get(web.async_status(use_future)).ready == 0u);
  BOOST_TEST(get(web.async_resume(use_future)).ok);
  get(web.async_signal(0, SIGKILL, use_future));
  BOOST_TEST(book.await({"exited: SIGKILL, killed"}));
  BOOST_TEST(get(web.async_settled(use_future)).ok);
  BOOST_CHECK(get(web.async_restart(7, use_future)).error == errc::no_such_slot);
  auto unsent = get(code([&](auto token) { web.async_signal(7, SIGKILL, token); }));
  BOOST_CHECK(unsent == errc::no_such_slot);
  auto all = get(sup.async_status(use_future));
  BOOST_REQUIRE(all.size() == 1u);
  BOOST_TEST(all.front().ready == 1u);
  BOOST_TEST(get(web.async_stop(false, use_future)).ok);
  BOOST_CHECK(get(web.async_resize(2, use_future)).error == errc::pool_closed);
  get(sup.async_stop(false, use_future));
}

BOOST_FIXTURE_TEST_CASE(handlers_run_on_their_own_executor_and_never_within_the_call,
                        host_program) {
  supervisor::supervisor sup(context.get_executor(), options());
  auto strand = asio::make_strand(context);
  std::promise<std::pair<bool, bool>> told;
  auto future = told.get_future();
  bool returned = false;
  run();
  asio::post(strand, [&] {
    auto handler = [&](std::exception_ptr, supervisor::pool) {
      told.set_value({strand.running_in_this_thread(), returned});
    };
    sup.async_pool("web", worker(), 1, asio::bind_executor(strand, handler));
    returned = true;
  });
  auto [on_strand, later] = get(std::move(future));
  BOOST_TEST(on_strand);
  BOOST_TEST(later);
  get(sup.async_stop(true, use_future));
}

BOOST_FIXTURE_TEST_CASE(plain_handlers_run_on_the_supervisors_executor, host_program) {
  run();
  supervisor::supervisor sup(context.get_executor(), options());
  std::promise<unsigned> told;
  // The awaitable methods and the accessors assert that they are called there.
  sup.async_pool("web", worker(), 5,
                 [&](std::exception_ptr, supervisor::pool pool) { told.set_value(pool.size()); });
  BOOST_TEST(get(told.get_future()) == 5u);
  get(sup.async_stop(true, use_future));
}

BOOST_FIXTURE_TEST_CASE(handler_that_has_a_name_stays_what_it_is, host_program) {
  run();
  supervisor::supervisor sup(context.get_executor(), options());
  auto web = get(sup.async_pool("web", worker(), 1, use_future));
  auto answers = std::make_shared<std::array<std::promise<void>, 2>>();
  auto handler = [answers, count = std::make_shared<std::atomic<unsigned>>()](const outcome&) {
    answers->at((*count)++).set_value();
  };
  web.async_settled(handler);
  web.async_settled(handler);
  for (auto& answer : *answers) get(answer.get_future());
  get(sup.async_stop(true, use_future));
}

BOOST_FIXTURE_TEST_CASE(coroutines_of_the_program_and_deferred, host_program) {
  run();
  supervisor::supervisor sup(context.get_executor(), options());
  auto opening = sup.async_pool("web", worker(), 1, asio::deferred);
  auto web = get(std::move(opening)(use_future));
  BOOST_TEST(get(asio::co_spawn(context, grow(web), use_future)) == 3u);
  get(sup.async_stop(false, use_future));
}

BOOST_FIXTURE_TEST_CASE(policies_run_on_its_executor, host_program) {
  run();
  supervisor::supervisor sup(context.get_executor(), options());
  BOOST_TEST(get(asio::co_spawn(sup.executor(), keep(sup), use_future)) == 2u);
}

BOOST_FIXTURE_TEST_CASE(cancelling_stops_the_waiting_only, host_program) {
  run();
  supervisor::supervisor sup(context.get_executor(), options());
  auto web = get(sup.async_pool("web", never_ready(), 1, use_future));
  // Signals are emitted where the operation was begun, as everywhere in Asio.
  auto strand = asio::make_strand(context);
  asio::cancellation_signal signal;
  std::promise<outcome> told;
  asio::post(strand, [&] {
    auto handler = [&](outcome o) { told.set_value(std::move(o)); };
    auto bound = asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(strand, handler));
    web.async_resize(2, std::move(bound));
  });
  asio::post(strand, [&] { signal.emit(asio::cancellation_type::terminal); });
  BOOST_CHECK(get(told.get_future()).error == asio::error::operation_aborted);
  BOOST_TEST(get(web.async_status(use_future)).target == 2u);
  get(sup.async_stop(true, use_future));
}

BOOST_FIXTURE_TEST_CASE(faults_come_back_as_exceptions, host_program) {
  run();
  supervisor::supervisor sup(context.get_executor(), options());
  get(sup.async_pool("web", worker(), 1, use_future));
  auto again = fault([&](auto token) { sup.async_pool("web", worker(), 1, std::move(token)); });
  BOOST_TEST(again == "there is a pool named web already");
  auto nobody = supervisor::listener_spec::parse("192.0.2.1:1");
  auto refused = fault([&](auto token) { sup.async_listen(nobody, std::move(token)); });
  BOOST_TEST(refused.starts_with("192.0.2.1:1: "));
  auto opened = get(sup.async_listen(supervisor::listener_spec::parse("127.0.0.1:0"), use_future));
  BOOST_TEST(opened.port != 0);
  get(sup.async_stop(false, use_future));
}

BOOST_FIXTURE_TEST_CASE(function_workers_are_refused_by_name_of_the_door_that_has_them,
                        host_program) {
  run();
  supervisor::supervisor sup(context.get_executor(), options());
  auto names_the_way_out = [](const std::string& words) {
    return words.find("supervisor::main") != words.npos &&
           words.find("supervisor::run") != words.npos;
  };
  const supervisor::spec function("serve");
  auto opening = fault([&](auto token) { sup.async_pool("web", function, 1, std::move(token)); });
  BOOST_TEST(names_the_way_out(opening), opening);
  auto web = get(sup.async_pool("web", worker(), 1, use_future));
  auto rolled = get(web.async_roll(function, use_future));
  BOOST_CHECK(rolled.error == errc::invalid_argument);
  BOOST_TEST(names_the_way_out(rolled.reason), rolled.reason);
  get(sup.async_stop(false, use_future));
}

BOOST_AUTO_TEST_SUITE_END()
