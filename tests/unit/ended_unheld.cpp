// What a keeper knows of children that it did not hold when they died.
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <csignal>

#include "keeper/store.hpp"

using namespace supervisor;

namespace {

/// A pidfd is readable when its process has ended; so is a pipe whose writers have left.
struct process {
  process() {
    int ends[2];
    BOOST_REQUIRE(::pipe(ends) == 0);
    pidfd.reset(ends[0]);
    life.reset(ends[1]);
  }
  kernel::unique_fd pidfd, life;
};

keeper_wire::process_end exited(int status) { return {CLD_EXITED, status, 0, 0, 0}; }

}  // namespace

BOOST_AUTO_TEST_SUITE(ended_unheld)

BOOST_AUTO_TEST_CASE(the_end_of_one_that_is_held_later_is_known_once) {
  unheld_ends ends;
  process dead;
  dead.life.reset();
  ends.add(7, exited(3));
  BOOST_TEST(ends.take(7, dead.pidfd.get()).status == 3);
  BOOST_TEST(ends.take(7, dead.pidfd.get()).code == 0);
}

BOOST_AUTO_TEST_CASE(one_that_lives_is_not_taken_for_who_had_its_number_before) {
  unheld_ends ends;
  process second;
  ends.add(7, exited(3));
  BOOST_TEST(ends.take(7, second.pidfd.get()).code == 0);
  // Nor is its own end, once it comes.
  second.life.reset();
  BOOST_TEST(ends.take(7, second.pidfd.get()).code == 0);
}

BOOST_AUTO_TEST_CASE(of_two_with_one_number_the_later_counts) {
  unheld_ends ends;
  process dead;
  dead.life.reset();
  ends.add(7, exited(3));
  ends.add(7, exited(4));
  BOOST_TEST(ends.take(7, dead.pidfd.get()).status == 4);
  BOOST_TEST(ends.take(7, dead.pidfd.get()).code == 0);
}

BOOST_AUTO_TEST_CASE(the_last_sixty_four_are_known) {
  unheld_ends ends;
  process dead;
  dead.life.reset();
  for (pid_t pid = 1; pid <= 65; ++pid) ends.add(pid, exited(pid));
  BOOST_TEST(ends.take(1, dead.pidfd.get()).code == 0);
  for (pid_t pid = 2; pid <= 65; ++pid) BOOST_TEST(ends.take(pid, dead.pidfd.get()).status == pid);
}

BOOST_AUTO_TEST_SUITE_END()
