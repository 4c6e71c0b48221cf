// Words of others, where they are shown.
#include "control/text.hpp"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <boost/test/unit_test.hpp>

#include "control/status.hpp"

using supervisor::printable;

BOOST_AUTO_TEST_SUITE(text)

BOOST_AUTO_TEST_CASE(letters_pass_and_what_steers_a_terminal_does_not) {
  BOOST_TEST(printable("Gr\u00fc\u00dfe, \u4e16\u754c\t\U0001f600") ==
             "Gr\u00fc\u00dfe, \u4e16\u754c\t\U0001f600");
  BOOST_TEST(printable("\x1b[2Jgone\x07\x7f") == "\\x1b[2Jgone\\x07\\x7f");
  BOOST_TEST(printable("one\ntwo\r") == "one\\ntwo\\x0d");
  BOOST_TEST(printable("\u009b31m\u00a0") == "\\xc2\\x9b31m\u00a0");
  BOOST_TEST(printable("") == "");
}

BOOST_AUTO_TEST_CASE(what_is_no_utf8_is_told_byte_by_byte) {
  BOOST_TEST(printable("\xff\xfe!") == "\\xff\\xfe!");
  BOOST_TEST(printable("cut \xe4\xb8") == "cut \\xe4\\xb8");
  BOOST_TEST(printable("\xc0\xaf") == "\\xc0\\xaf");  // an overlong '/'
}

BOOST_AUTO_TEST_CASE(a_status_can_be_read_whatever_a_worker_says) {
  supervisor::slot_status slot;
  slot.detail = "\xff\xfe \x1b[2J";
  auto written = boost::json::serialize(supervisor::to_json(slot));
  boost::system::error_code error;
  auto read = boost::json::parse(written, error);
  BOOST_TEST(!error);
  BOOST_TEST(read.as_object().at("detail").as_string() == "\\xff\\xfe \\x1b[2J");
}

BOOST_AUTO_TEST_SUITE_END()
