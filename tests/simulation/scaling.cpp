// Scaling policies under a load that comes and goes, in virtual time.
#include "supervisor/scaling.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "supervisor/prefork.hpp"
#include "support/world.hpp"

using namespace supervisor;
using namespace std::chrono_literals;
using test::world;

namespace {

/// A service whose workers take one connection at a time.
struct service : world {
  /// A scale() that waits for a connection waits on what stands in its own frame: it has to be
  /// cancelled, for a world that just ends would leave it behind.
  ~service() { run_void(sup->stop_all(true)); }

  static constexpr duration step = 50ms;

  service() {
    host.on_launch = [](auto&) {
      script s;
      s.ready_after = 300ms;
      s.drain_takes = 200ms;
      return s;
    };
    host.on_sample = [this](child_id id) {
      scoreboard board;
      board.now = scoreboard::phase::serving;
      board.in_flight = until.contains(id);
      return std::optional(board);
    };
  }

  /// So many connections a second, each of which takes `takes`, for so long.
  void serve(double per_second, duration takes, duration time) {
    for (auto end = host.now() + time; host.now() < end;) {
      arrived += per_second * std::chrono::duration<double>(step).count();
      for (; arrived >= 1; arrived -= 1) ++queue;
      std::erase_if(until, [&](auto& each) { return each.second <= host.now(); });
      for (auto id : host.living()) {
        auto& view = host.look(id);
        if (queue == 0 || !view.ready || view.stopping || until.contains(id)) continue;
        --queue;
        until[id] = host.now() + takes;
        ++answered;
      }
      host.set_queued(queue);
      longest_queue = std::max(longest_queue, queue);
      most = std::max(most, state().target);
      host.run_for(step);
    }
  }
  unsigned changes_while(double per_second, duration takes, duration time) {
    auto before = count(event_kind::pool_resized);
    serve(per_second, takes, time);
    return count(event_kind::pool_resized) - before;
  }
  template <typename Policy>
  ::supervisor::pool scaled(unsigned first, Policy policy) {
    auto web = this->web(first);
    settle(web);
    sup->spawn(scale(*sup, web, std::move(policy)));
    return web;
  }

  double arrived = 0;
  unsigned queue = 0, longest_queue = 0, answered = 0, most = 0;
  std::map<child_id, time_point> until;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(scaling)

BOOST_FIXTURE_TEST_CASE(spare_workers_follow_a_step, service) {
  spare_workers policy;
  policy.min_spare = 2;
  policy.max_spare = 5;
  policy.least = 2;
  policy.most = 20;
  auto web = scaled(2, policy);
  serve(0, 0s, 1min);
  BOOST_TEST(web.size() == 2u);

  serve(40, 200ms, 30s);  // eight at work
  BOOST_TEST(web.size() >= 10u);
  BOOST_TEST(web.size() <= 13u);
  BOOST_TEST(changes_while(40, 200ms, 10min) == 0u);
  BOOST_TEST(queue == 0u);

  serve(400, 200ms, 1min);  // more than there may be
  BOOST_TEST(web.size() == 20u);
  BOOST_TEST(most == 20u);
  serve(0, 200ms, 5min);
  BOOST_TEST(queue == 0u);
  BOOST_TEST(web.size() == 5u);
  BOOST_TEST(changes_while(0, 0s, 1h) == 0u);
}

BOOST_FIXTURE_TEST_CASE(at_rest_nothing_wakes_until_a_connection_waits, service) {
  auto web = scaled(1, spare_workers());
  BOOST_REQUIRE(host.run_until([&] { return host.looks_running() == 1; }, 1min));
  auto before = host.now();
  BOOST_TEST(!host.run_until([] { return false; }, 24h));
  BOOST_TEST((host.now() == before));
  serve(10, 200ms, 1min);
  BOOST_TEST(web.size() >= 2u);
}

BOOST_FIXTURE_TEST_CASE(on_demand_from_zero_and_back, service) {
  on_demand policy;
  policy.most = 6;
  auto web = scaled(0, policy);
  BOOST_TEST(!host.run_until([] { return false; }, 24h));
  BOOST_TEST(host.living().empty());

  serve(20, 100ms, 50ms);  // one connection
  BOOST_TEST(queue + answered == 1u);
  serve(0, 100ms, 1s);
  BOOST_TEST(answered == 1u);  // it waited, and was not lost
  BOOST_TEST(web.size() == 1u);
  serve(0, 100ms, 30s);
  BOOST_TEST(web.size() == 0u);
  BOOST_TEST(host.living().empty());
  auto before = host.now();
  BOOST_TEST(!host.run_until([] { return false; }, 24h));
  BOOST_TEST((host.now() == before));

  serve(20, 200ms, 30s);  // four at work
  BOOST_TEST(web.size() >= 4u);
  BOOST_TEST(changes_while(20, 200ms, 10min) <= 2u);
  BOOST_TEST(queue == 0u);
  serve(200, 200ms, 10s);
  BOOST_TEST(web.size() == 6u);
  BOOST_TEST(most == 6u);
}

BOOST_FIXTURE_TEST_CASE(a_backlog_is_worked_off_and_calm_returns, service) {
  by_backlog policy;
  policy.least = 1;
  policy.most = 30;
  auto web = scaled(1, policy);
  serve(35, 200ms, 2min);  // seven at work, all the time
  BOOST_TEST(queue == 0u);
  BOOST_TEST(web.size() >= 7u);
  // Ever more seldom it tries with one fewer.
  serve(35, 200ms, 1h);
  auto later = changes_while(35, 200ms, 1h);
  BOOST_TEST(later <= 6u);
  BOOST_TEST(web.size() >= 7u);
  BOOST_TEST(web.size() <= 9u);
  serve(0, 0s, 10h);
  BOOST_TEST(web.size() == 1u);
  auto before = host.now();
  BOOST_TEST(!host.run_until([] { return false; }, 24h));
  BOOST_TEST((host.now() == before));
}

BOOST_FIXTURE_TEST_CASE(commands_are_idle_by_their_cpu_time, service) {
  host.on_sample = nullptr;
  std::map<child_id, duration> used;
  host.on_cpu_time = [&](child_id id) { return std::optional(used[id]); };
  spare_workers policy;
  policy.min_spare = 1;
  policy.max_spare = 1;
  auto web = scaled(3, policy);
  for (int i = 0; i < 60; ++i) {
    for (auto id : host.living()) used[id] += 30ms;  // 3 % of a CPU
    host.run_for(1s);
  }
  BOOST_TEST(web.size() == 8u);  // all are busy: as many as there may be
  for (int i = 0; i < 60; ++i) {
    for (auto id : host.living()) used[id] += 5ms;
    host.run_for(1s);
  }
  BOOST_TEST(web.size() == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_metric_of_the_users, service) {
  double value = 3;
  by_metric policy([&]() -> boost::asio::awaitable<double> {
    co_await sup->sleep_for(100ms);
    co_return value;
  });
  policy.most = 12;
  auto web = scaled(1, policy);
  host.run_for(1s);
  BOOST_TEST(web.size() == 3u);
  value = 7.5;
  host.run_for(12s);
  BOOST_TEST(web.size() == 8u);
  for (int i = 0; i < 100; ++i) {  // a metric that swings moves nothing
    value = i % 2 ? 2 : 7.5;
    host.run_for(10s);
    BOOST_TEST(web.size() == 8u);
  }
  value = 2;
  host.run_for(6min);
  BOOST_TEST(web.size() == 2u);
}

BOOST_FIXTURE_TEST_CASE(a_change_tells_why, service) {
  scaled(0, on_demand());
  host.set_queued(2);
  BOOST_REQUIRE(host.run_until([&] { return count(event_kind::pool_resized) == 1; }, 1s));
  auto* resized = last(event_kind::pool_resized);
  auto* note = last(event_kind::note);
  BOOST_TEST(resized->cause == note->id);
  BOOST_TEST(note->text == "web: 0 busy, 0 idle, 0 coming, 2 waiting");
}

BOOST_FIXTURE_TEST_CASE(a_drained_pool_is_left_alone_and_a_stopped_one_left, service) {
  on_demand policy;
  auto web = scaled(0, policy);
  host.set_queued(3);
  host.run_for(1min);
  BOOST_TEST(web.size() == 3u);
  run(web.drain());
  auto before = count(event_kind::pool_resized);
  host.run_for(10min);
  BOOST_TEST(count(event_kind::pool_resized) == before);
  BOOST_TEST(host.living().empty());
  run(web.resume());
  BOOST_TEST(web.ready() == 3u);
  run_void(sup->stop_all());
  BOOST_TEST(host.looks_running() == 0u);
}

BOOST_FIXTURE_TEST_CASE(the_bundled_policy_scales, service) {
  prefork_options options;
  options.workers = 0;
  options.scale = [](::supervisor::supervisor& self, ::supervisor::pool p) {
    return scale(self, p, on_demand());
  };
  auto ended = begin(prefork(*sup, "web", spec("serve"), options));
  host.run_for(1min);
  BOOST_TEST(host.living().empty());
  host.set_queued(1);
  BOOST_TEST(host.run_until([&] { return host.living().size() == 1; }, 1s));
  send(SIGTERM);
  BOOST_TEST(host.run_until([&] { return ended->has_value(); }, 1min));
}

BOOST_AUTO_TEST_SUITE_END()
