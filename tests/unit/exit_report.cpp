#include "supervisor/exit_report.hpp"

#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <csignal>

#include "supervisor/errc.hpp"

using namespace supervisor;

BOOST_AUTO_TEST_SUITE(exit_report)

BOOST_AUTO_TEST_CASE(exit_nine_is_not_sigkill) {
  auto nine = exit_status::exited(SIGKILL);
  auto killed = exit_status::signalled(SIGKILL);
  BOOST_TEST((nine != killed));
  BOOST_TEST(nine.str() == "exit 9");
  BOOST_TEST(killed.str() == "SIGKILL");
  BOOST_TEST(*nine.code() == 9);
  BOOST_TEST(!nine.signal());
  BOOST_TEST(!killed.code());
  BOOST_TEST(*killed.signal() == SIGKILL);
}

BOOST_AUTO_TEST_CASE(a_status_says_how_it_ended) {
  BOOST_TEST(exit_status::exited(0).success());
  BOOST_TEST(!exit_status::exited(70).success());
  BOOST_TEST(!exit_status::signalled(SIGTERM).success());
  BOOST_TEST(!exit_status::lost().success());
  BOOST_TEST(exit_status::signalled(SIGSEGV, true).str() == "SIGSEGV (core dumped)");
  BOOST_TEST(exit_status::signalled(SIGSEGV, true).core_dumped());
  BOOST_TEST(exit_status::lost().str() == "status lost");
  BOOST_TEST((exit_status() == exit_status::lost()));
  BOOST_TEST(!exit_status::lost().code());
  BOOST_TEST(!exit_status::lost().signal());
}

BOOST_AUTO_TEST_CASE(causes_have_names_both_ways) {
  for (int i = 0; i <= static_cast<int>(exit_cause::lost); ++i) {
    auto cause = static_cast<exit_cause>(i);
    BOOST_TEST((parse_exit_cause(to_string(cause)) == cause));
  }
  BOOST_TEST(to_string(exit_cause::none) == "none");
  BOOST_TEST(to_string(exit_cause::boot_timeout) == "boot_timeout");
  BOOST_TEST(to_string(exit_cause::out_of_memory) == "out_of_memory");
  BOOST_TEST(to_string(exit_cause::lost) == "lost");
  BOOST_TEST(!parse_exit_cause("CRASH"));
  BOOST_TEST(!parse_exit_cause(""));
}

BOOST_AUTO_TEST_CASE(a_launch_error_names_stage_subject_and_reason) {
  BOOST_TEST((launch_error{"exec", ENOENT, "/usr/bin/nope"}.str()) ==
             "exec /usr/bin/nope: No such file or directory");
  BOOST_TEST((launch_error{"clone", EAGAIN, ""}.str()) ==
             "clone: Resource temporarily unavailable");
  BOOST_TEST((launch_error{"preload", 0, "it threw: bad_alloc"}.str()) ==
             "preload it threw: bad_alloc");
}

BOOST_AUTO_TEST_CASE(errors_have_words) {
  for (int i = 1; i <= static_cast<int>(errc::degraded); ++i) {
    boost::system::error_code code = static_cast<errc>(i);
    BOOST_TEST(&code.category() == &supervisor_category());
    BOOST_TEST(!code.message().starts_with("error "));
  }
  BOOST_TEST(boost::system::error_code(99, supervisor_category()).message() == "error 99");
  BOOST_TEST(make_error_code(errc::no_such_pool).message() == "no such pool");
}

BOOST_AUTO_TEST_SUITE_END()
