// What each test program does first: it may have been executed again as the mold of its own
// function workers. Boost.Test's static library brings main(), which calls this before anything
// of the framework is set up.
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cstdio>

#include "supervisor/run.hpp"
#include "support/functions.hpp"

boost::unit_test::test_suite* init_unit_test_suite(int argc, char** argv) {
  if (auto code = supervisor::mold_role(argc, argv, test::functions())) {
    std::fflush(nullptr);
    ::_exit(*code);
  }
  return nullptr;
}
