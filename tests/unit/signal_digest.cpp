// What the log gets of a storm of signals.
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <csignal>

#include "control/signal_digest.hpp"

using supervisor::event;
using supervisor::event_kind;
using supervisor::never;
using namespace std::chrono_literals;

namespace {

struct fixture {
  supervisor::time_point at(std::chrono::milliseconds when) const { return start + when; }
  std::uint64_t add(event e, std::chrono::milliseconds when) {
    e.id = ++last;
    e.at = at(when);
    digest.add(e, out);
    return e.id;
  }
  std::uint64_t signal(int number, std::chrono::milliseconds when, pid_t from = 7) {
    event e(event_kind::signal_received);
    e.number = number;
    e.count = 1;
    e.pid = from;
    return add(std::move(e), when);
  }
  /// "number x count #id" of what was written since the last call.
  std::string written() {
    std::string text;
    for (auto& e : std::exchange(out, {}))
      text += std::to_string(e.number) + "x" + std::to_string(e.count) + "#" +
              std::to_string(e.id) + " ";
    return text;
  }

  supervisor::time_point start{1h};
  supervisor::signal_digest digest;
  std::vector<event> out;
  std::uint64_t last = 0;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(signal_digest, fixture)

BOOST_AUTO_TEST_CASE(a_storm_is_one_line_at_once_and_one_a_second) {
  for (int i = 0; i < 1000; ++i) signal(SIGHUP, 0ms + i * 1ms);
  BOOST_TEST(written() == "1x1#1 ");
  BOOST_CHECK(digest.next() == at(1000ms));
  digest.expire(at(999ms), out);
  BOOST_TEST(written() == "");
  digest.expire(at(1000ms), out);
  BOOST_TEST(written() == "1x999#1000 ");
  BOOST_CHECK(digest.next() == never);
  signal(SIGHUP, 1001ms);  // it goes on
  BOOST_TEST(written() == "");
  digest.expire(at(2000ms), out);
  BOOST_TEST(written() == "1x1#1001 ");
}

BOOST_AUTO_TEST_CASE(a_signal_now_and_then_is_written_each_time) {
  for (int i = 0; i < 3; ++i) signal(SIGHUP, i * 1000ms);
  BOOST_TEST(written() == "1x1#1 1x1#2 1x1#3 ");
  BOOST_CHECK(digest.next() == never);
}

BOOST_AUTO_TEST_CASE(signals_are_counted_apart_and_written_in_order) {
  for (int i = 0; i < 3; ++i) {
    signal(SIGTERM, 10ms);
    signal(SIGHUP, 20ms);
  }
  BOOST_TEST(written() == "15x1#1 1x1#2 ");
  digest.expire(never, out);
  BOOST_TEST(written() == "15x2#5 1x2#6 ");
}

BOOST_AUTO_TEST_CASE(what_a_signal_sets_off_follows_it) {
  signal(SIGTTIN, 0ms);
  signal(SIGTTIN, 1ms);
  event unrelated(event_kind::note);
  unrelated.cause = 1;
  add(unrelated, 2ms);
  BOOST_TEST(written() == "21x1#1 0x0#3 ");
  event set_off(event_kind::pool_resized);
  set_off.cause = 2;
  add(set_off, 3ms);
  BOOST_TEST(written() == "21x1#2 0x0#4 ");
  BOOST_CHECK(digest.next() == never);
}

BOOST_AUTO_TEST_CASE(nothing_is_left_unsaid_at_the_end) {
  signal(SIGHUP, 0ms);
  signal(SIGHUP, 1ms);
  add(event(event_kind::supervisor_stopped), 2ms);
  BOOST_TEST(written() == "1x1#1 1x1#2 0x0#3 ");
}

BOOST_AUTO_TEST_CASE(several_senders_are_not_taken_for_one) {
  signal(SIGHUP, 0ms);
  signal(SIGHUP, 1ms, 7);
  signal(SIGHUP, 2ms, 8);
  digest.expire(never, out);
  BOOST_TEST(out.size() == 2u);
  BOOST_TEST(out.back().pid == supervisor::several_senders);
}

BOOST_AUTO_TEST_SUITE_END()
