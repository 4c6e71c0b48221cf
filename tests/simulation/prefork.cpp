// The bundled policy, as signals drive it.
#include "supervisor/prefork.hpp"

#include "supervision/decide.hpp"
#include "support/world.hpp"

using namespace supervisor;
using namespace std::chrono_literals;

namespace {

struct prefork_world : test::world {
  /// Begins the policy, and waits until its workers are ready.
  void serve(prefork_options options = {}) {
    exit_code = begin(prefork(*sup, "web", spec("serve"), options));
    settle();
  }
  void settle() {
    host.poll();
    BOOST_REQUIRE(host.run_until([&] { return settled(state()); }));
  }
  void send_and_settle(int number, int value = 0, std::uint64_t times = 1) {
    send(number, value, times);
    settle();
  }
  bool ended() {
    return host.run_until([&] { return exit_code->has_value(); });
  }
  unsigned size() const { return state().target; }
  std::vector<int> signals_sent() const {
    std::vector<int> all;
    for (auto& [id, number] : host.sent) all.push_back(number);
    return all;
  }

  test::result<int> exit_code;
};

script stubborn(const launch_request&) {
  script s;
  s.ignores_stop = true;
  return s;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(prefork)

BOOST_FIXTURE_TEST_CASE(two_workers_unless_told_otherwise, prefork_world) {
  serve();
  BOOST_TEST(host.living().size() == 2u);
  send(SIGTERM);
  BOOST_TEST(ended());
  BOOST_TEST(**exit_code == 0);
  BOOST_TEST(host.living().empty());
}

BOOST_FIXTURE_TEST_CASE(TTIN_and_TTOU_count_and_never_go_below_one, prefork_world) {
  serve();
  send_and_settle(SIGTTIN);
  BOOST_TEST(host.living().size() == 3u);
  send_and_settle(SIGTTIN, 0, 4);
  BOOST_TEST(host.living().size() == 7u);
  send_and_settle(SIGTTOU, 0, 2);
  BOOST_TEST(host.living().size() == 5u);
  send_and_settle(SIGTTOU, 0, 100);
  BOOST_TEST(host.living().size() == 1u);
  send_and_settle(SIGTTOU);
  BOOST_TEST(host.living().size() == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_thousand_TTINs, prefork_world) {
  serve();
  for (int i = 0; i < 1000; ++i) {
    send(SIGTTIN);
    if (i % 7 == 0) host.poll_one();
  }
  host.poll();
  settle();
  BOOST_TEST(size() == 1002u);
  BOOST_TEST(host.living().size() == 1002u);
}

BOOST_FIXTURE_TEST_CASE(real_time_signals_carry_how_many, prefork_world) {
  serve();
  for (int i = 0; i < 20; ++i) send(SIGRTMIN, 1);
  settle();
  BOOST_TEST(host.living().size() == 22u);
  send_and_settle(SIGRTMIN, 5);
  BOOST_TEST(host.living().size() == 27u);
  send_and_settle(SIGRTMIN);
  BOOST_TEST(host.living().size() == 28u);
  send_and_settle(SIGRTMIN + 1, 8);
  BOOST_TEST(host.living().size() == 20u);
  send_and_settle(SIGRTMIN + 1, 50);
  BOOST_TEST(host.living().size() == 1u);
}

BOOST_FIXTURE_TEST_CASE(HUP_rolls, prefork_world) {
  serve();
  send_and_settle(SIGHUP);
  BOOST_TEST(state().generation == 2u);
  for (auto id : host.living()) BOOST_TEST(host.request(id).generation == 2u);
}

namespace {

struct two_pools : test::world {
  two_pools() {
    sup->pool("web", spec("serve"), 2);
    sup->pool("mail", spec("serve"), 1);
  }
  void send_and_settle(int number, int value = 0) {
    send(number, value);
    host.poll();
    BOOST_REQUIRE(host.run_until([&] { return settled(state()) && settled(state("mail")); }));
  }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(several_pools_obey_together_and_the_first_one_counts, two_pools) {
  auto exit_code = begin(obey_signals(*sup, {}));
  send_and_settle(SIGHUP);
  BOOST_TEST(state().generation == 2u);
  BOOST_TEST(state("mail").generation == 2u);
  send_and_settle(SIGTTIN);
  send_and_settle(SIGRTMIN, 3);
  send_and_settle(SIGTTOU);
  BOOST_TEST(state().target == 5u);
  BOOST_TEST(state("mail").target == 1u);
  send_and_settle(SIGWINCH);
  BOOST_TEST(host.living().empty());
  send_and_settle(SIGTTIN);
  BOOST_TEST(host.living().size() == 6u);
  send_and_settle(SIGUSR1);
  BOOST_TEST(host.sent.size() >= 6u);
  send(SIGTERM);
  BOOST_TEST(host.run_until([&] { return exit_code->has_value(); }));
  BOOST_TEST(**exit_code == 0);
  BOOST_TEST(host.living().empty());
}

BOOST_FIXTURE_TEST_CASE(HUP_is_what_the_policy_says, two_pools) {
  signal_options options;
  options.reload = [](::supervisor::supervisor& self) -> boost::asio::awaitable<void> {
    auto mail = *self.find_pool("mail");
    co_await mail.resize(4);
  };
  auto exit_code = begin(obey_signals(*sup, options));
  send_and_settle(SIGHUP);
  BOOST_TEST(state().generation == 1u);
  BOOST_TEST(state("mail").target == 4u);
}

BOOST_FIXTURE_TEST_CASE(a_policy_without_pools_takes_every_signal, test::world) {
  auto exit_code = begin(obey_signals(*sup, {}));
  for (int number : {SIGHUP, SIGTTIN, SIGTTOU, SIGRTMIN, SIGRTMIN + 1, SIGWINCH, SIGUSR1})
    send(number);
  host.poll();
  BOOST_TEST(count(event_kind::handler_failed) == 0u);
  BOOST_TEST(count(event_kind::signal_received) == 7u);
  send(SIGTERM);
  BOOST_TEST(host.run_until([&] { return exit_code->has_value(); }));
}

BOOST_FIXTURE_TEST_CASE(WINCH_drains_and_HUP_or_TTIN_brings_back, prefork_world) {
  serve();
  send_and_settle(SIGWINCH);
  BOOST_TEST(host.living().empty());
  send_and_settle(SIGTTIN);
  BOOST_TEST(host.living().size() == 2u);
  send_and_settle(SIGWINCH);
  send_and_settle(SIGHUP);
  BOOST_TEST(host.living().size() == 2u);
  BOOST_TEST(state().generation == 2u);
}

BOOST_FIXTURE_TEST_CASE(a_terminal_drives_nothing, prefork_world) {
  serve();
  for (int number : {SIGWINCH, SIGTTIN, SIGTTOU}) send(number, 0, 1, SI_KERNEL);
  settle();
  BOOST_TEST(host.living().size() == 2u);
  BOOST_TEST(host.launches() == 2u);
  BOOST_TEST(count(event_kind::note) == 3u);
  BOOST_TEST(last(event_kind::note)->cause != 0u);
}

BOOST_FIXTURE_TEST_CASE(USR1_is_passed_on, prefork_world) {
  serve();
  send_and_settle(SIGUSR1);
  BOOST_TEST((signals_sent() == std::vector<int>{SIGUSR1, SIGUSR1}));
}

BOOST_FIXTURE_TEST_CASE(USR2_without_a_keeper_is_refused, prefork_world) {
  serve();
  send_and_settle(SIGUSR2);
  BOOST_TEST(last(event_kind::note)->text.starts_with("no upgrade: the workers would end"));
  BOOST_TEST(count(event_kind::upgrade_started) == 0u);
}

BOOST_FIXTURE_TEST_CASE(the_signal_is_the_cause_of_what_it_does, prefork_world) {
  serve();
  send_and_settle(SIGTTIN);
  auto received = last(event_kind::signal_received)->id;
  BOOST_TEST(last(event_kind::pool_resized)->cause == received);
  BOOST_TEST(last(event_kind::slot_added)->cause == last(event_kind::pool_resized)->id);
  host.kill(host.living()[0], SIGKILL);
  host.poll();
  BOOST_TEST(last(event_kind::worker_exited)->cause == 0u);  // the signal's cause is not sticky
}

BOOST_FIXTURE_TEST_CASE(TERM_drains_within_the_graceful_timeout, prefork_world) {
  host.on_launch = stubborn;
  serve();
  auto began = host.now();
  send(SIGTERM);
  BOOST_TEST(ended());
  BOOST_TEST((host.now() - began == 30s));
  BOOST_TEST((signals_sent() == std::vector<int>{SIGTERM, SIGTERM, SIGKILL, SIGKILL}));
}

BOOST_FIXTURE_TEST_CASE(a_second_TERM_changes_nothing, prefork_world) {
  host.on_launch = stubborn;
  serve();
  auto began = host.now();
  send(SIGTERM);
  host.poll();
  send(SIGTERM);
  BOOST_TEST(ended());
  BOOST_TEST((host.now() - began == 30s));
  BOOST_TEST(count(event_kind::signal_unhandled) == 0u);
}

BOOST_FIXTURE_TEST_CASE(QUIT_is_quick, prefork_world) {
  host.on_launch = stubborn;
  serve();
  auto began = host.now();
  send(SIGQUIT);
  BOOST_TEST(ended());
  BOOST_TEST((host.now() - began == 1s));
}

BOOST_FIXTURE_TEST_CASE(a_second_INT_hastens_the_first, prefork_world) {
  host.on_launch = stubborn;
  serve();
  auto began = host.now();
  send(SIGINT);
  host.run_for(3s);
  BOOST_TEST(host.living().size() == 2u);
  send(SIGINT);
  BOOST_TEST(ended());
  BOOST_TEST((host.now() - began == 4s));
}

BOOST_FIXTURE_TEST_CASE(a_third_INT_kills_what_is_left, prefork_world) {
  host.on_launch = stubborn;
  serve();
  auto began = host.now();
  send(SIGINT);
  host.run_for(3s);
  send(SIGINT);
  host.run_for(300ms);
  BOOST_TEST(host.living().size() == 2u);
  send(SIGINT);
  BOOST_TEST(ended());
  BOOST_TEST((host.now() - began == 3300ms));
}

BOOST_FIXTURE_TEST_CASE(a_requested_stop_is_hastened_too, prefork_world) {
  host.on_launch = stubborn;
  serve();
  auto began = host.now();
  sup->request_stop();
  host.run_for(3s);
  sup->request_stop();
  host.run_for(3s);
  BOOST_TEST(host.living().size() == 2u);
  sup->request_stop(true);
  BOOST_TEST(ended());
  BOOST_TEST((host.now() - began == 7s));
}

BOOST_FIXTURE_TEST_CASE(it_serves_on_for_the_drain_delay, prefork_world) {
  prefork_options options;
  options.drain_delay = 5s;
  serve(options);
  auto began = host.now();
  send(SIGTERM);
  host.run_for(2s);
  BOOST_TEST(count(event_kind::supervisor_stopping) == 1u);
  BOOST_TEST(state().wanted() == 2u);
  host.kill(host.living()[0], SIGKILL);
  host.poll();
  BOOST_TEST(host.living().size() == 2u);
  BOOST_TEST(ended());
  BOOST_TEST((host.now() - began == 5s));
  BOOST_TEST(count(event_kind::supervisor_stopping) == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_second_INT_cuts_the_drain_delay, prefork_world) {
  prefork_options options;
  options.drain_delay = 5s;
  serve(options);
  auto began = host.now();
  send(SIGINT);
  host.run_for(1s);
  send(SIGINT);
  BOOST_TEST(ended());
  BOOST_TEST((host.now() - began == 1s));
}

BOOST_FIXTURE_TEST_CASE(asked_to_stop_once_more_it_serves_on_for_the_drain_delay, prefork_world) {
  prefork_options options;
  options.drain_delay = 5s;
  serve(options);
  auto began = host.now();
  send(SIGTERM);
  host.run_for(1s);
  sup->request_stop();
  host.run_for(1s);
  send(SIGTERM);
  host.run_for(1s);
  BOOST_TEST(state().wanted() == 2u);
  BOOST_TEST(ended());
  BOOST_TEST((host.now() - began == 5s));
  BOOST_TEST(count(event_kind::signal_unhandled) == 0u);
}

BOOST_FIXTURE_TEST_CASE(a_quick_stop_requested_cuts_the_drain_delay, prefork_world) {
  host.on_launch = stubborn;
  prefork_options options;
  options.drain_delay = 5s;
  serve(options);
  auto began = host.now();
  send(SIGTERM);
  host.run_for(1s);
  sup->request_stop(true);
  BOOST_TEST(ended());
  BOOST_TEST((host.now() - began == 2s));
}

BOOST_FIXTURE_TEST_CASE(a_stop_does_not_wait_for_a_roll, prefork_world) {
  host.on_launch = [](auto& r) {
    script s;
    if (r.generation == 2) s.ready_after.reset();
    return s;
  };
  serve();
  send(SIGHUP);
  host.run_for(1s);
  auto began = host.now();
  send(SIGTERM);
  BOOST_TEST(ended());
  BOOST_TEST((host.now() == began));
  BOOST_TEST(host.living().empty());
}

BOOST_FIXTURE_TEST_CASE(a_roll_that_runs_delays_no_other_signal, prefork_world) {
  host.on_launch = [](auto& r) {
    script s;
    if (r.generation > 1) s.ready_after = 10s;
    return s;
  };
  serve();
  send(SIGHUP);
  host.run_for(1s);
  send(SIGTTIN);
  host.poll();
  BOOST_TEST(size() == 3u);
  settle();
  BOOST_TEST(host.living().size() == 3u);
  for (auto id : host.living()) BOOST_TEST(host.request(id).generation == 2u);
}

BOOST_FIXTURE_TEST_CASE(each_TTIN_and_TTOU_counts_at_once_however_long_the_last_takes,
                        prefork_world) {
  host.on_launch = [](auto&) {
    script s;
    s.ready_after = 10s;
    s.drain_takes = 20s;
    return s;
  };
  serve();
  for (unsigned wanted : {3u, 4u, 5u}) {
    send(SIGTTIN);
    host.run_for(1s);
    BOOST_TEST(size() == wanted);
    BOOST_TEST(host.living().size() == wanted);
  }
  for (unsigned wanted : {4u, 3u}) {
    send(SIGTTOU);
    host.run_for(1s);
    BOOST_TEST(size() == wanted);
  }
  for (unsigned wanted : {5u, 7u}) {
    send(SIGRTMIN, 2);
    host.run_for(1s);
    BOOST_TEST(size() == wanted);
  }
  settle();
  BOOST_TEST(host.living().size() == 7u);
}

BOOST_FIXTURE_TEST_CASE(more_workers_than_there_may_be_are_as_many_as_there_may_be, prefork_world) {
  serve();
  send(SIGRTMIN, 2'000'000'000);
  send(SIGRTMIN, 2'000'000'000);
  host.run_until([&] { return size() != 2; });
  BOOST_TEST(size() == most_workers);
}

BOOST_FIXTURE_TEST_CASE(a_signal_nobody_handles_is_told_once, prefork_world) {
  host.poll();
  send(SIGUSR1);
  host.poll();
  send(SIGUSR1);
  host.poll();
  BOOST_TEST(count(event_kind::signal_unhandled) == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_policy_that_is_cancelled_can_still_stop_everything, prefork_world) {
  auto web = sup->pool("web", spec("serve"), 3);
  settle();
  auto forever = [](auto& s) -> boost::asio::awaitable<void> { co_await s.sleep_for(24h); };
  sup->spawn(forever(*sup));
  host.poll();
  run_void(sup->stop_all());
  BOOST_TEST(host.living().empty());
  run_void(sup->stop_all());
}

BOOST_AUTO_TEST_SUITE_END()
