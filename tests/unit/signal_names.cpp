#include <boost/test/unit_test.hpp>

#include "supervisor/signals.hpp"

using supervisor::signal_name;
using supervisor::signal_number;

BOOST_AUTO_TEST_SUITE(signal_names)

BOOST_AUTO_TEST_CASE(numbers_have_names) {
  BOOST_TEST(signal_name(SIGTERM) == "SIGTERM");
  BOOST_TEST(signal_name(SIGWINCH) == "SIGWINCH");
  BOOST_TEST(signal_name(SIGRTMIN) == "SIGRTMIN");
  BOOST_TEST(signal_name(SIGRTMIN + 1) == "SIGRTMIN+1");
  BOOST_TEST(signal_name(99) == "signal 99");
  BOOST_TEST(signal_name(0) == "signal 0");
  BOOST_TEST(signal_name(-3) == "signal -3");
}

BOOST_AUTO_TEST_CASE(names_have_numbers) {
  const std::pair<std::string_view, int> table[] = {
      {"TERM", SIGTERM},
      {"SIGTERM", SIGTERM},
      {"term", SIGTERM},
      {"sigterm", SIGTERM},
      {"SigHup", SIGHUP},
      {"15", 15},
      {"64", 64},
      {"CLD", SIGCHLD},
      {"SIGIOT", SIGABRT},
      {"IO", SIGIO},
      {"POLL", SIGPOLL},
      {"RTMIN", SIGRTMIN},
      {"RTMIN+0", SIGRTMIN},
      {"RTMIN+1", SIGRTMIN + 1},
      {"SIGRTMIN+30", SIGRTMIN + 30},
      {"SIGRTMAX", SIGRTMAX},
      {"SIGRTMAX-2", SIGRTMAX - 2},
      {"rtmax-30", SIGRTMIN},
  };
  for (auto& [name, number] : table) BOOST_TEST(signal_number(name).value_or(-1) == number, name);
}

BOOST_AUTO_TEST_CASE(what_is_no_name_has_no_number) {
  for (auto name : {"",
                    " ",
                    "SIG",
                    "SIGSIGTERM",
                    "TERMX",
                    "0",
                    "65",
                    "-1",
                    "+15",
                    "15 ",
                    "RTMIN+",
                    "RTMIN+31",
                    "RTMIN-1",
                    "RTMAX+1",
                    "RTMAX-31",
                    "RTMIN+-1",
                    "RTMIN+1x",
                    "RTMINX",
                    "99999999999999",
                    "SIGRTMIN+99999999999999999999",
                    "signal",
                    "signal ",
                    "signal 65",
                    "(null)"})
    BOOST_TEST(!signal_number(name).has_value(), name);
}

BOOST_AUTO_TEST_CASE(every_name_leads_back_to_its_number) {
  for (int number = 1; number <= SIGRTMAX; ++number) {
    auto name = signal_name(number);
    BOOST_TEST(signal_number(name).value_or(-1) == number, name);
    BOOST_TEST(signal_number(std::to_string(number)).value_or(-1) == number, name);
    // glibc's own two have no name.
    bool own = number >= 32 && number < SIGRTMIN;
    BOOST_TEST(name.starts_with("SIG") == !own, name);
  }
}

BOOST_AUTO_TEST_CASE(real_time_signals_count_from_both_ends) {
  int numbers = SIGRTMAX - SIGRTMIN;
  for (int i = 0; i <= numbers; ++i) {
    auto up = "RTMIN+" + std::to_string(i);
    auto down = "SIGRTMAX-" + std::to_string(i);
    BOOST_TEST(signal_number(up).value_or(-1) == SIGRTMIN + i, up);
    BOOST_TEST(signal_number(down).value_or(-1) == SIGRTMAX - i, down);
  }
}

BOOST_AUTO_TEST_CASE(trap_signals_are_those_of_a_shell) {
  const std::vector<int> those{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
  BOOST_TEST(supervisor::trap_signals() == those, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()
