// Each promise is broken once, by hand, and is told: an observer that sees nothing proves nothing.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "support/world.hpp"

using namespace supervisor;
using namespace std::chrono_literals;
namespace asio = boost::asio;

namespace {

event of_slot(event_kind kind, std::uint64_t id, std::uint64_t slot_id = 1) {
  event e(kind);
  e.id = id;
  e.pool = "web";
  e.slot_id = slot_id;
  e.pid = 1001;
  e.child = 1;
  return e;
}

struct observed {
  /// Events as a journal would number them, and a look after each.
  void record(event e) {
    e.id = ++last;
    promises.take_in(e);
    promises.look();
  }
  void open_pool() {
    event opened(event_kind::pool_opened);
    opened.pool = "web";
    opened.count = 1;
    opened.generation = 1;
    record(opened);
    record(of_slot(event_kind::slot_added, 0));
  }
  bool tells(std::string_view words) {
    BOOST_TEST_MESSAGE(promises.broken());
    return promises.broken().find(words) != std::string::npos;
  }

  simulated_host host;
  invariants promises{host};
  std::uint64_t last = 0;
};

/// One whose pool runs, seen through a supervisor.
struct lived : test::world {
  lived() {
    web(2);
    host.poll();
    promises.look();
    BOOST_TEST(promises.broken() == "");
  }
  bool tells(std::string_view words) {
    promises.look();
    BOOST_TEST_MESSAGE(promises.broken());
    return promises.broken().find(words) != std::string::npos;
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(promises)

BOOST_FIXTURE_TEST_CASE(a_cause_comes_first, observed) {
  event e(event_kind::note);
  e.cause = 1;
  record(e);
  BOOST_TEST(tells("its cause comes after it"));
}

BOOST_FIXTURE_TEST_CASE(nobody_stops_for_no_reason, observed) {
  open_pool();
  record(of_slot(event_kind::worker_stopping, 0));
  BOOST_TEST(tells("for no reason"));
}

BOOST_FIXTURE_TEST_CASE(a_report_comes_once, observed) {
  open_pool();
  record(of_slot(event_kind::worker_reported, 0));
  BOOST_TEST(promises.broken() == "");
  record(of_slot(event_kind::worker_reported, 0));
  BOOST_TEST(tells("reported twice"));
}

BOOST_FIXTURE_TEST_CASE(nobody_leaves_for_one_that_is_not_ready, observed) {
  open_pool();
  auto fresh = of_slot(event_kind::slot_added, 0, 2);
  fresh.number = 1;
  record(fresh);
  auto leaves = of_slot(event_kind::slot_retiring, 0);
  leaves.why = exit_cause::replaced;
  record(leaves);
  BOOST_TEST(tells("not ready"));
}

BOOST_FIXTURE_TEST_CASE(a_rollout_has_one_too_many_at_most, observed) {
  open_pool();
  event begun(event_kind::rollout_started);
  begun.pool = "web";
  begun.generation = 2;
  record(begun);
  for (std::uint64_t id : {2, 3}) {
    auto fresh = of_slot(event_kind::slot_added, 0, id);
    fresh.number = 1;
    fresh.generation = 2;
    record(fresh);
  }
  BOOST_TEST(tells("too many workers on trial"));
}

BOOST_FIXTURE_TEST_CASE(a_state_changes_by_events_alone, lived) {
  const_cast<pool_state&>(state()).target = 7;
  event e(event_kind::worker_status);
  e.pool = "web";
  e.slot_id = 1;
  log.record(e);
  BOOST_TEST(tells("not the fold"));
}

BOOST_FIXTURE_TEST_CASE(a_process_is_a_slots, lived) {
  launch_request stray;
  stray.key = {"web", 77, 1};
  stray.generation = 1;
  host.launch(stray, {});
  host.poll();
  sup->note("look");
  BOOST_TEST(tells("no slot's worker"));
}

BOOST_FIXTURE_TEST_CASE(a_signal_has_a_reason, lived) {
  host.signal(host.living()[0], SIGTERM);
  BOOST_TEST(tells("no event says why"));
}

BOOST_FIXTURE_TEST_CASE(what_can_be_decided_is_decided, lived) {
  const_cast<pool_state&>(state()).target = 3;
  promises.at_rest();
  BOOST_TEST(tells("slot.added"));
}

BOOST_FIXTURE_TEST_CASE(no_deadline_passes_unheeded, lived) {
  auto& slot = const_cast<pool_state&>(state()).slots.front();
  slot.now = phase::stopping;
  slot.deadline = host.now() - 1s;
  promises.at_rest();
  BOOST_TEST(tells("web.0: its deadline has passed"));
}

BOOST_FIXTURE_TEST_CASE(a_pool_that_does_not_settle_is_told_with_who_blocks_it, lived) {
  auto& slot = const_cast<pool_state&>(state()).slots.front();
  slot.now = phase::starting;
  slot.deadline = never;
  promises.at_rest();
  host.run_for(10min);
  promises.at_rest();
  BOOST_TEST(tells("web.0: it keeps the pool from settling"));
}

BOOST_FIXTURE_TEST_CASE(nothing_is_left_at_the_end, lived) {
  promises.at_end();
  BOOST_TEST(tells("web.0 pid 1001: it is left behind"));
}

asio::awaitable<void> wait_for_ever(::supervisor::supervisor& self) {
  std::vector<int> numbers{SIGUSR2};
  co_await self.signals().wait(std::move(numbers));
}

asio::awaitable<int> forgetful(::supervisor::supervisor& self) {
  asio::co_spawn(self.executor(), wait_for_ever(self), asio::detached);
  co_await self.sleep_for(1s);
  co_return 0;
}

BOOST_AUTO_TEST_CASE(no_coroutine_outlives_its_group) {
  ::supervisor::simulation sim;
  sim.start(forgetful);
  BOOST_CHECK_EXCEPTION(sim.run(), simulation_failure, [](auto& failure) {
    return std::string_view(failure.what()).find("outlives the group") != std::string_view::npos;
  });
}

BOOST_AUTO_TEST_SUITE_END()
