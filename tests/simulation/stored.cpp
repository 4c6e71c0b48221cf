// What workers have stored: for whom it is kept, and when it goes.
#include "support/world.hpp"

using namespace supervisor;
using namespace std::chrono_literals;
using test::world;
using strings = std::vector<std::string>;

namespace {

/// Each worker stores one descriptor, named by its generation.
struct storing : world {
  storing() {
    host.on_launch = [](auto& request) {
      script s;
      s.stores = {"state of " + std::to_string(request.generation)};
      return s;
    };
  }
  strings stored(unsigned slot) const { return host.stored("web", slot); }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(stored)

BOOST_FIXTURE_TEST_CASE(it_is_kept_for_the_slot_while_there_is_one, storing) {
  auto web = this->web(2);
  settle(web);
  BOOST_TEST(web.status().slots.at(1).stored == strings{"state of 1"},
             boost::test_tools::per_element());
  for (auto id : host.living()) host.kill(id, SIGKILL);
  host.poll();
  BOOST_TEST(stored(0) == strings{"state of 1"}, boost::test_tools::per_element());
  settle(web);
  run(web.resize(1));  // the oldest leaves
  BOOST_TEST(stored(0).empty());
  BOOST_TEST(stored(1) == strings{"state of 1"}, boost::test_tools::per_element());
  run(web.resize(2));
  BOOST_TEST(!stored(0).empty());
  run(web.drain());
  BOOST_TEST(stored(0).empty());
  BOOST_TEST(stored(1).empty());
  run(web.stop());
  BOOST_TEST(host.leftovers().empty());
}

BOOST_FIXTURE_TEST_CASE(a_rollout_leaves_it_to_those_that_come, storing) {
  auto web = this->web(1);
  settle(web);
  run(web.roll());
  BOOST_TEST(stored(0) == strings{"state of 2"}, boost::test_tools::per_element());
  run(web.stop());
  BOOST_TEST(stored(0).empty());
}

BOOST_FIXTURE_TEST_CASE(one_on_trial_that_fails_takes_nothing_along, storing) {
  auto web = this->web(1);
  settle(web);
  host.on_launch = [](auto&) {
    script s;
    s.ready_after.reset();
    s.exits_after = 1s;
    s.exit_with = exit_status::exited(1);
    return s;
  };
  auto rolled = run(web.roll());
  BOOST_TEST(!rolled.ok);
  BOOST_TEST(stored(0) == strings{"state of 1"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()
