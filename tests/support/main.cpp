// The tests' main: a test program may be executed again as the mold of its own function workers.
#include <boost/test/unit_test.hpp>

#include "supervisor/run.hpp"
#include "support/functions.hpp"

int main(int argc, char** argv) {
  if (auto code = supervisor::mold_role(argc, argv, test::functions())) return *code;
  return boost::unit_test::unit_test_main([] { return true; }, argc, argv);
}
