// Workers that have lived long enough, in virtual time.
#include <algorithm>
#include <set>

#include "support/world.hpp"

using namespace supervisor;
using namespace std::chrono_literals;
using test::world;

namespace {

spec old_after(duration age, unsigned at_once = 1) {
  spec what("serve");
  what.recycle.max_age = age;
  what.recycle.at_once = at_once;
  return what;
}

script drains_in(duration d) {
  script s;
  s.drain_takes = d;
  return s;
}

/// What never may be, looked at after every event.
struct watcher {
  watcher(world& w, unsigned wanted, unsigned at_once)
      : sink(w.log.subscribe([&w, wanted, at_once, this](const event&) {
          auto& p = w.state();
          auto changes = [](auto& s) { return s.replaces || s.retiring == exit_cause::recycled; };
          auto under_way = static_cast<unsigned>(std::ranges::count_if(p.slots, changes));
          most = std::max(most, under_way);
          auto ready = std::ranges::count(p.slots, phase::ready, &slot_state::now);
          held = held && under_way <= at_once && ready >= wanted;
        })) {}
  bool held = true;
  unsigned most = 0;
  std::shared_ptr<void> sink;
};

std::vector<event> all_of(const world& w, event_kind kind) {
  std::vector<event> found;
  for (auto& e : w.events)
    if (e.kind == kind) found.push_back(e);
  return found;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(recycling)

BOOST_FIXTURE_TEST_CASE(the_replacement_is_ready_before_the_old_one_leaves, world) {
  host.on_launch = [](auto& request) {
    script s;
    s.ready_after = 2s;
    if (request.key.slot_id == 1) s.spent_after = 1min;
    return s;
  };
  auto web = this->web(2);
  settle(web);
  watcher never(*this, 2, 1);
  BOOST_REQUIRE(host.run_until([&] { return count(event_kind::slot_removed) == 1; }));
  BOOST_TEST(never.held);
  BOOST_TEST(never.most == 1u);
  BOOST_TEST(run(web.settled()).ok);

  auto* spent = last(event_kind::worker_spent);
  auto* added = last(event_kind::slot_added);
  auto* exited = last(event_kind::worker_exited);
  BOOST_TEST(spent->text == "it asked for it");
  BOOST_TEST(added->cause == spent->id);
  BOOST_TEST(added->slot == 0u);
  BOOST_TEST((exited->why == exit_cause::recycled));
  BOOST_TEST(exited->count == 0);
  BOOST_TEST(web.ready() == 2u);
  BOOST_TEST(!host.run_until([] { return false; }, 24h));
  BOOST_TEST(count(event_kind::worker_spent) == 1u);  // the fresh one has nothing of the old
}

BOOST_FIXTURE_TEST_CASE(one_slot_at_a_time_unless_more_are_allowed, world) {
  host.on_launch = [](auto&) { return drains_in(30s); };
  for (unsigned allowed : {1u, 2u}) {
    auto name = "web";
    auto web = sup->pool(name, old_after(1h, allowed), 5);
    settle(web);
    watcher never(*this, 5, allowed);
    auto before = count(event_kind::slot_removed);
    BOOST_REQUIRE(
        host.run_until([&] { return count(event_kind::slot_removed) == before + 5; }, 3h));
    BOOST_TEST(never.held);
    BOOST_TEST(never.most == allowed);
    never.sink.reset();
    run(web.stop());
  }
}

BOOST_FIXTURE_TEST_CASE(those_that_started_together_do_not_end_together, world) {
  settle(web(8, old_after(10h)));
  auto began = host.now();
  BOOST_REQUIRE(host.run_until([&] { return count(event_kind::worker_spent) == 8; }, 10h));
  std::set<time_point> when;
  for (auto& e : all_of(*this, event_kind::worker_spent)) {
    when.insert(e.at);
    BOOST_TEST((e.at - began >= 9h && e.at - began <= 10h));
  }
  BOOST_TEST(when.size() == 8u);
}

BOOST_FIXTURE_TEST_CASE(the_lot_is_drawn_once_and_is_in_the_journal, world) {
  spec what("serve");
  what.recycle.max_requests = 1000;
  settle(web(1, what));
  auto lot = static_cast<unsigned>(last(event_kind::worker_launched)->number);
  BOOST_TEST(state().slots.front().lot == lot);
  BOOST_TEST(lot < recycle_lots);
  BOOST_TEST(host.request(1).request_limit == request_limit(what.recycle, lot));
  BOOST_TEST(host.request(1).request_limit >= 900u);
  BOOST_TEST(host.request(1).request_limit <= 1000u);
}

BOOST_FIXTURE_TEST_CASE(a_leak_is_found_and_a_peak_is_none, world) {
  std::uint64_t memory = 50 << 20;
  unsigned looks = 0;
  host.on_memory = [&](child_id id) -> std::optional<std::uint64_t> {
    ++looks;
    return id == 1 ? memory : 1 << 20;
  };
  spec what("serve");
  what.recycle.max_memory = 100 << 20;
  what.recycle.sampling = 10s;
  settle(web(1, what));
  host.run_for(1min);
  BOOST_TEST(looks == 6u);
  memory = 200 << 20;
  host.run_for(20s);
  memory = 50 << 20;
  host.run_for(1min);
  BOOST_TEST(count(event_kind::worker_spent) == 0u);
  memory = 101 << 20;
  host.run_for(29s);
  BOOST_TEST(count(event_kind::worker_spent) == 0u);
  host.run_for(1s);
  BOOST_REQUIRE(count(event_kind::worker_spent) == 1u);
  BOOST_TEST(last(event_kind::worker_spent)->text == "its memory, 101.0 MiB");
  host.run_for(1min);
  BOOST_TEST(host.living().size() == 1u);
  BOOST_TEST(host.living().front() == 2u);
}

BOOST_FIXTURE_TEST_CASE(peaks_apart_from_each_other_are_no_leak, world) {
  unsigned weighed = 0;
  host.on_memory = [&](child_id) -> std::optional<std::uint64_t> {
    return ++weighed % 2 ? 200u : 50u;
  };
  spec what("serve");
  what.recycle.max_memory = 100;
  what.recycle.sampling = 1s;
  what.recycle.samples = 2;
  web(1, what);
  host.run_for(1min);
  BOOST_TEST(weighed > 20u);
  BOOST_TEST(count(event_kind::worker_spent) == 0u);
}

BOOST_FIXTURE_TEST_CASE(without_a_limit_nothing_ever_wakes, world) {
  settle(web(3));
  auto before = host.now();
  BOOST_TEST(!host.run_until([] { return false; }, 24h));
  BOOST_TEST((host.now() == before));
}

BOOST_FIXTURE_TEST_CASE(a_replacement_that_fails_is_tried_again_and_the_old_one_serves, world) {
  bool broken = true;
  host.on_launch = [&](auto& request) {
    script s;
    if (request.key.slot_id == 1) s.spent_after = 1min;
    if (request.key.slot_id > 1 && broken) {
      s.ready_after.reset();
      s.exits_after = 10ms;
      s.exit_with = exit_status::exited(70);
    }
    return s;
  };
  auto web = this->web(1);
  settle(web);
  host.run_for(10min);
  BOOST_TEST(web.ready() == 1u);
  BOOST_TEST(host.living().size() == 1u);
  BOOST_TEST(count(event_kind::worker_exited) >= 5u);
  BOOST_TEST(count(event_kind::worker_exited) <= 20u);  // it backs off
  BOOST_TEST(run(web.resize(2)).ok == false);           // settled all the same: the new slot fails
  broken = false;
  BOOST_REQUIRE(host.run_until([&] { return count(event_kind::slot_removed) == 1; }));
  BOOST_TEST((last(event_kind::worker_exited)->why == exit_cause::recycled));
  host.run_for(2min);
  BOOST_TEST(run(web.settled()).ok);
}

BOOST_FIXTURE_TEST_CASE(a_rollout_a_drain_and_a_stop_make_it_moot, world) {
  host.on_launch = [](auto& request) {
    script s;
    s.ready_after = request.key.slot_id > 2 && request.generation == 1 ? 1h : 0s;
    if (request.key.slot_id <= 2) s.spent_after = 1min;
    return s;
  };
  auto web = this->web(2);
  settle(web);
  BOOST_REQUIRE(host.run_until([&] { return count(event_kind::worker_spent) == 2; }));
  host.poll();
  BOOST_TEST(host.living().size() == 3u);  // one replacement boots
  auto rolled = run(web.roll(), 1min);
  BOOST_TEST(rolled.ok, rolled.reason);
  BOOST_TEST(host.living().size() == 2u);
  for (auto id : host.living()) BOOST_TEST(host.request(id).generation == 2u);
  for (auto& s : state().slots) BOOST_TEST(s.spent == 0u);

  auto again = sup->pool("other", spec("serve"), 2);
  BOOST_TEST(run(again.drain(), 2min).ok);
  BOOST_TEST(run(again.stop(), 2min).ok);
  BOOST_TEST(host.living().size() == 2u);
}

BOOST_FIXTURE_TEST_CASE(a_drain_ends_a_replacement_on_trial, world) {
  host.on_launch = [](auto& request) {
    script s;
    s.ready_after = request.key.slot_id > 1 ? 1h : 0s;
    s.spent_after = 1min;
    return s;
  };
  auto web = this->web(1);
  settle(web);
  BOOST_REQUIRE(host.run_until([&] { return host.living().size() == 2; }));
  BOOST_TEST(run(web.drain(), 1min).ok);
  BOOST_TEST(host.living().empty());
  BOOST_TEST(run(web.stop(), 1min).ok);
}

BOOST_FIXTURE_TEST_CASE(after_a_crash_of_the_supervisor_it_goes_on_once, world) {
  host.on_launch = [](auto& request) {
    script s;
    s.ready_after = request.key.slot_id > 1 ? 10s : 0s;
    if (request.key.slot_id == 1) s.spent_after = 1min;
    return s;
  };
  settle(web(1));
  BOOST_REQUIRE(host.run_until([&] { return count(event_kind::worker_spent) == 1; }));
  auto written = state();
  auto specs = keeper().specs();
  crash();
  boot();
  auto web = sup->adopt(written, specs);
  host.run_for(5min);
  BOOST_TEST(count(event_kind::worker_spent) == 1u);
  BOOST_TEST(host.launches() == 2u);
  BOOST_TEST(host.living().size() == 1u);
  BOOST_TEST(web.ready() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
