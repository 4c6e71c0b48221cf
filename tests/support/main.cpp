// The tests' main: a test program may be executed again as the mold of its own function workers.
// The static library of Boost.Test brings a main of its own, so its sources are compiled here.
#define BOOST_TEST_ALTERNATIVE_INIT_API
#define BOOST_TEST_NO_MAIN
#include <boost/test/included/unit_test.hpp>

#include "supervisor/run.hpp"
#include "support/functions.hpp"

int main(int argc, char** argv) {
  if (auto code = supervisor::mold_role(argc, argv, test::functions())) return *code;
  return boost::unit_test::unit_test_main([] { return true; }, argc, argv);
}
