// A policy's ways in and out: serve(), its handlers, stop_all(), pools that come and go.
#include <boost/asio/awaitable.hpp>

#include "supervision/decide.hpp"
#include "support/world.hpp"

using namespace supervisor;
using namespace std::chrono_literals;
namespace asio = boost::asio;

namespace {

using task = asio::awaitable<void>;

struct policy_world : test::world {
  ::supervisor::handlers on;
  unsigned begun = 0;
  std::uint64_t counted = 0;

  asio::awaitable<signal_event> serve(time_point deadline = never) {
    until stop{SIGTERM};
    auto event = co_await sup->serve(on, std::move(stop), deadline);
    co_return event;
  }
  asio::awaitable<int> serve_twice() {
    auto first = co_await serve();
    auto second = co_await serve();
    co_return first.number * 100 + second.number;
  }
  void count_hups(delivery mode = delivery::coalesce) {
    on(
        SIGHUP,
        [this](signal_event e) -> task {
          ++begun;
          counted += e.count;
          co_await sup->sleep_for(1h);
        },
        mode);
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(policies)

BOOST_FIXTURE_TEST_CASE(a_stop_requested_before_it_serves_ends_the_first_serve, policy_world) {
  sup->request_stop();
  BOOST_TEST(run(serve()).number == SIGTERM);
  sup->request_stop(true);
  sup->request_stop();
  BOOST_TEST(run(serve()).number == SIGQUIT);
  BOOST_TEST(run(serve(host.now() + 5s)).number == 0);
}

// Whatever comes between two turns of the loop, the next serve() has its handlers again.
BOOST_FIXTURE_TEST_CASE(a_handler_that_was_cancelled_at_any_step_runs_again, policy_world) {
  count_hups();
  for (int steps = 0; steps < 12; ++steps) BOOST_TEST_CONTEXT(steps << " steps apart") {
      auto both = begin(serve_twice());
      host.poll();
      auto before = counted;
      send(SIGTERM);
      for (int i = 0; i < steps; ++i) host.poll_one();
      send(SIGHUP);
      host.poll();
      BOOST_TEST(counted == before + 1);
      send(SIGHUP);
      host.poll();
      send(SIGTERM);
      host.poll();
      BOOST_TEST(both->has_value());
      auto after = begin(serve());
      host.poll();
      BOOST_TEST(counted == before + 2);
      send(SIGTERM);
      host.poll();
      BOOST_TEST(after->has_value());
    }
}

BOOST_FIXTURE_TEST_CASE(an_interrupt_loses_no_count, policy_world) {
  count_hups(delivery::interrupt);
  auto served = begin(serve());
  host.poll();
  send(SIGHUP, 0, 1, SI_KERNEL);
  send(SIGHUP);
  host.poll();
  send(SIGHUP);
  host.poll_one();
  send(SIGHUP);
  host.poll();
  BOOST_TEST(counted == 4u);
  BOOST_TEST(begun >= 2u);
  send(SIGTERM);
  host.poll();
  BOOST_TEST(served->has_value());
}

BOOST_FIXTURE_TEST_CASE(a_handler_may_swallow_its_cancellation, policy_world) {
  on(SIGHUP, [this](signal_event) -> task {
    ++begun;
    try {
      co_await sup->sleep_for(1h);
    } catch (const std::exception&) {
    }
  });
  for (unsigned round = 1; round <= 2; ++round) {
    auto served = begin(serve());
    send(SIGHUP);
    host.poll();
    send(SIGTERM);
    host.poll();
    BOOST_TEST(served->has_value());
    BOOST_TEST(begun == round);
  }
  BOOST_TEST(count(event_kind::handler_failed) == 0u);
}

BOOST_FIXTURE_TEST_CASE(who_waits_in_a_handler_hears_that_the_pool_stops, policy_world) {
  host.on_launch = [](auto&) {
    script s;
    s.ready_after.reset();
    return s;
  };
  auto web = this->web(1);
  std::vector<outcome> told;
  on(SIGHUP, [&](signal_event) -> task {
    auto result = co_await web.settled();
    told.push_back(result);
  });
  on(SIGTTIN, [&](signal_event) -> task { co_await web.stop(); });
  auto served = begin(serve());
  send(SIGHUP);
  host.poll();
  send(SIGTTIN);
  host.run_for(1min);
  BOOST_REQUIRE(told.size() == 1u);
  BOOST_TEST((told[0].error == errc::pool_closed));
  send(SIGTERM);
  host.poll();
  BOOST_TEST(served->has_value());
}

BOOST_FIXTURE_TEST_CASE(what_is_spawned_while_it_stops_is_cancelled_too, policy_world) {
  web(1);
  host.poll();
  bool ended = false;
  auto endless = [&]() -> task {
    for (;;) co_await sup->sleep_for(1h);
  };
  auto last_wish = [&]() -> task {
    try {
      co_await sup->sleep_for(24h);
    } catch (...) {
    }
    sup->spawn(endless());
    ended = true;
  };
  sup->spawn(last_wish());
  host.poll();
  run_void(sup->stop_all());
  BOOST_TEST(ended);
  sup->spawn(endless());
  host.poll();
  run_void(sup->stop_all());
}

BOOST_FIXTURE_TEST_CASE(no_pool_is_opened_any_more_once_it_stops, policy_world) {
  web(1);
  host.poll();
  std::string refusal;
  auto late = [&]() -> task {
    try {
      co_await sup->sleep_for(24h);
    } catch (...) {
    }
    try {
      sup->pool("late", spec("serve"), 1);
    } catch (const std::exception& e) {
      refusal = e.what();
    }
  };
  sup->spawn(late());
  host.poll();
  run_void(sup->stop_all());
  BOOST_TEST(refusal.find("late") != std::string::npos, refusal);
  BOOST_TEST(host.living().empty());
}

BOOST_FIXTURE_TEST_CASE(a_stopped_pool_gives_its_name_back, policy_world) {
  for (int round = 0; round < 3; ++round) BOOST_TEST_CONTEXT("round " << round) {
      host.on_launch = [](auto& r) {
        script s;
        s.reap_takes = 3s;
        if (r.slot == 1 && r.key.launch == 1) s.launch_fails = launch_error{"clone", EAGAIN, ""};
        return s;
      };
      auto web = this->web(2);
      settle(web);
      run(web.roll());
      BOOST_TEST(web.ready() == 2u);
      BOOST_TEST(run(web.stop()).ok);
      BOOST_TEST(sup->pools().empty());
      BOOST_TEST(sup->find_pool("web").has_value());
      BOOST_TEST(host.living().empty());
      BOOST_TEST(count(event_kind::worker_reported) == count(event_kind::worker_exited));
      BOOST_TEST((run(web.resize(3)).error == errc::pool_closed));
      BOOST_TEST(web.ready() == 0u);
    }
}

BOOST_FIXTURE_TEST_CASE(a_pool_too_large_is_a_slip_of_the_hand, policy_world) {
  BOOST_CHECK_THROW(web(4'000'000'000u), std::invalid_argument);
  auto web = this->web(1);
  auto refused = run(web.resize(4'000'000'000u));
  BOOST_TEST((refused.error == errc::invalid_argument));
  BOOST_TEST(refused.reason.find("10000") != std::string::npos, refused.reason);
  settle(web);
  BOOST_TEST(web.size() == 1u);
}

// Its program is pinned, so the next mold makes the worker, and the rollout goes on.
BOOST_FIXTURE_TEST_CASE(a_mold_that_is_killed_fails_no_rollout_and_delays_nobody, policy_world) {
  auto web = this->web(2);
  settle(web);
  int left = 3;
  host.on_launch = [&](auto&) {
    script s;
    if (left-- > 0) s.launch_fails = launch_error{"mold", ECANCELED, "it ended: SIGKILL"};
    return s;
  };
  auto began = host.now();
  BOOST_TEST(run(web.roll()).ok);
  BOOST_TEST(web.status().generation == 2u);
  BOOST_TEST((host.now() == began));
  left = 1;
  host.kill(host.living()[0], SIGKILL);
  host.poll();
  BOOST_TEST(web.ready() == 2u);
}

BOOST_AUTO_TEST_SUITE_END()
