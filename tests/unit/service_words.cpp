// What a service manager is told.
#include "control/service_words.hpp"

#include <boost/test/unit_test.hpp>
#include <csignal>

BOOST_AUTO_TEST_SUITE(service_words)

using supervisor::event;
using supervisor::event_kind;
using supervisor::pool_status;
using namespace std::chrono_literals;

namespace {

pool_status pool(unsigned ready, unsigned target, bool rolling = false) {
  pool_status p;
  p.name = "web";
  p.ready = ready;
  p.target = target;
  p.generation = 3;
  p.rolling = rolling;
  return p;
}

event at(event_kind kind, supervisor::duration when, int number = 0) {
  event e(kind);
  e.at = supervisor::time_point(when);
  e.number = number;
  return e;
}

supervisor::service_words ready_words() {
  supervisor::service_words said;
  said.look({pool(1, 1)});
  BOOST_REQUIRE(said.ready);
  return said;
}

}  // namespace

BOOST_AUTO_TEST_CASE(ready_is_said_once_and_when_all_are) {
  supervisor::service_words said;
  BOOST_TEST(said.look({}) == "STATUS=no pools\n");
  BOOST_TEST(said.look({pool(1, 2)}) == "STATUS=1 of 2 workers ready\n");
  BOOST_TEST(said.look({pool(1, 2)}).empty());
  BOOST_TEST(said.look({pool(2, 2)}) == "READY=1\nSTATUS=2 of 2 workers ready\n");
  BOOST_TEST(said.look({pool(1, 2)}) == "STATUS=1 of 2 workers ready\n");
  BOOST_TEST(said.look({pool(2, 2)}) == "STATUS=2 of 2 workers ready\n");
}

BOOST_AUTO_TEST_CASE(a_reload_lasts_until_nothing_rolls) {
  auto said = ready_words();
  BOOST_TEST(said.tell(at(event_kind::signal_received, 7s, SIGHUP)) ==
             "RELOADING=1\nMONOTONIC_USEC=7000000\n");
  BOOST_TEST(said.look({pool(1, 1, true)}) ==
             "STATUS=1 of 1 workers ready, rolling to generation 3\n");
  BOOST_TEST(said.look({pool(1, 1)}) == "READY=1\nSTATUS=1 of 1 workers ready\n");
  BOOST_TEST(said.look({pool(1, 1)}).empty());
}

BOOST_AUTO_TEST_CASE(before_it_is_ready_and_at_the_end_a_HUP_is_no_reload) {
  supervisor::service_words said;
  BOOST_TEST(said.tell(at(event_kind::signal_received, 1s, SIGHUP)).empty());
  said = ready_words();
  BOOST_TEST(said.tell(at(event_kind::signal_received, 1s, SIGUSR1)).empty());
  BOOST_TEST(said.tell(at(event_kind::supervisor_stopping, 1s)) == "STOPPING=1\n");
  BOOST_TEST(said.tell(at(event_kind::supervisor_stopping, 1s)).empty());
  BOOST_TEST(said.tell(at(event_kind::signal_received, 1s, SIGHUP)).empty());
  BOOST_TEST(said.look({pool(0, 1)}) == "STATUS=stopping, 0 of 1 workers ready\n");
}

BOOST_AUTO_TEST_CASE(a_drain_asks_for_the_time_it_may_take) {
  auto said = ready_words();
  auto leaving = at(event_kind::worker_stopping, 10s);
  leaving.deadline = supervisor::time_point(40s);
  BOOST_TEST(said.tell(leaving).empty(), "one that leaves a master that stays");
  said.tell(at(event_kind::supervisor_stopping, 10s));
  BOOST_TEST(said.tell(leaving) == "EXTEND_TIMEOUT_USEC=40000000\n");
  BOOST_TEST(said.tell(leaving).empty(), "the next with the same deadline");
  leaving.kind = event_kind::worker_escalated;
  leaving.deadline = supervisor::time_point(45s);
  BOOST_TEST(said.tell(leaving) == "EXTEND_TIMEOUT_USEC=45000000\n");
}

BOOST_AUTO_TEST_CASE(a_stop_that_serves_on_is_told_at_once) {
  auto said = ready_words();
  auto stopping = at(event_kind::supervisor_stopping, 10s);
  stopping.deadline = supervisor::time_point(15s);
  BOOST_TEST(said.tell(stopping) == "STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000\n");
  auto leaving = at(event_kind::worker_stopping, 15s);
  leaving.deadline = supervisor::time_point(45s);
  BOOST_TEST(said.tell(leaving) == "EXTEND_TIMEOUT_USEC=40000000\n");
}

BOOST_AUTO_TEST_CASE(the_watchdog_is_fed_while_every_pool_serves) {
  supervisor::service_words said;
  BOOST_TEST(serves(said, {pool(0, 2)}), "it starts");
  said = ready_words();
  BOOST_TEST(serves(said, {pool(1, 2)}));
  BOOST_TEST(!serves(said, {pool(1, 2), pool(0, 1)}));
  BOOST_TEST(serves(said, {pool(0, 0)}), "it is to have none");
  auto drained = pool(0, 2);
  drained.drained = true;
  BOOST_TEST(serves(said, {drained}));
  said.tell(at(event_kind::supervisor_stopping, 1s));
  BOOST_TEST(serves(said, {pool(0, 2)}), "it ends");
}

BOOST_AUTO_TEST_CASE(several_pools_are_told_by_name) {
  auto mail = pool(0, 1);
  mail.name = "mail";
  mail.drained = true;
  BOOST_TEST(supervisor::status_line({pool(2, 2), mail}) == "web 2/2, mail 0/1 (drained)");
}

BOOST_AUTO_TEST_SUITE_END()
