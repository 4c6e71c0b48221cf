#include "supervisor/probe.hpp"

#include <boost/test/unit_test.hpp>
#include <stdexcept>
#include <string>

using namespace supervisor;
using namespace std::chrono_literals;

namespace {

/// What a row of looks, '+' and '-', leaves: "ill", "well", or neither.
std::string after(const probe& p, std::string_view looks) {
  health h;
  for (char c : looks) h = judge(p, h, c == '+');
  return std::string(is_ill(p, h) ? "ill" : "") + (is_well(p, h) ? "well" : "");
}

std::string refusal(std::string_view text) {
  try {
    probe::parse(text);
    return "none";
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(probe)

BOOST_AUTO_TEST_CASE(hysteresis) {
  const struct {
    unsigned ill, well;
    const char* looks;
    const char* verdict;
  } rows[] =
      {
          {3, 1, "", ""},        {3, 1, "+", "well"},  {3, 1, "--", ""},
          {3, 1, "---", "ill"},  {3, 1, "--+--", ""},  {3, 1, "--+---", "ill"},
          {3, 2, "--+-", "ill"},  // one pass forgets nothing
          {3, 2, "--++-", ""},    // two do
          {3, 2, "+", ""},       {3, 2, "+-+", ""},    {3, 2, "-++", "well"},
          {1, 1, "+-", "ill"},   {1, 3, "-++", "ill"}, {1, 3, "-+++", "well"},
      };
  for (auto& row : rows) {
    BOOST_TEST_INFO(row.ill << " and " << row.well << ": " << row.looks);
    auto p = ::supervisor::probe::heartbeat().ill_after(row.ill).well_after(row.well);
    BOOST_TEST(after(p, row.looks) == row.verdict);
  }
}

BOOST_AUTO_TEST_CASE(a_late_look_is_no_evidence) {
  constexpr time_point due{10s};
  const struct {
    const char* name;
    time_point due, now;
    duration asleep;
    bool evidence;
  } rows[] = {
      {"an answer in time", due, due - 500ms, 0s, true},
      {"no answer", due, due, 0s, true},
      {"a loop that was busy for a moment", due, due + 100ms, 0s, true},
      {"a supervisor that was stopped", due, due + 101ms, 0s, false},
      {"a machine that was suspended", due, due - 500ms, 1s, false},
      {"clocks that are read one after the other", due, due, 1us, true},
      {"no timeout", never, due, 0s, true},
  };
  for (auto& row : rows) {
    BOOST_TEST_INFO(row.name);
    probe_timing timing;
    timing.due = row.due;
    timing.now = row.now;
    timing.asleep = row.asleep;
    BOOST_TEST(is_evidence(timing) == row.evidence);
  }
}

BOOST_AUTO_TEST_CASE(as_text_and_back) {
  for (std::string text :
       {"http://127.0.0.1:8080/healthz", "http://unix:/run/app.{slot}.sock:/a/b?c=d",
        "http://[::1]:{9100+slot}/", "tcp://127.0.0.1:5432", "tcp://unix:/run/x.sock",
        "exec:/bin/check --slot {slot}", "log:alive", "heartbeat"})
    BOOST_TEST(::supervisor::probe::parse(text).str() == text);
  BOOST_TEST(::supervisor::probe::parse("http://:80").str() == "http://:80/");
}

BOOST_AUTO_TEST_CASE(what_is_no_probe) {
  const struct {
    const char* text;
    const char* words;
  } rows[] = {
      {"", "write http://ADDR/PATH, tcp://ADDR"},
      {"https://127.0.0.1/", "write http://ADDR/PATH"},
      {"http://", "no address"},
      {"http://example.org:80/", "not a numeric address"},
      {"http://127.0.0.1/x", "no port"},
      {"http://127.0.0.1:80/a b", "a blank in its path"},
      {"tcp://127.0.0.1:0", "port 0"},
      {"tcp://fd:3", "cannot connect to a descriptor"},
      {"exec:", "no program"},
      {"log:", "it names nothing"},
  };
  for (auto& row : rows) {
    BOOST_TEST_INFO(row.text);
    auto words = refusal(row.text);
    BOOST_TEST(words.find(row.words) != words.npos, words);
  }
}

BOOST_AUTO_TEST_CASE(placeholders) {
  auto p = ::supervisor::probe::exec("/bin/{slot}",
                                     {"{9100+slot}", "{pid}", "{x}{", "{slot", "{-1+slot}"})
               .of(7, 4711);
  BOOST_TEST(p.str() == "exec:/bin/7 9107 4711 {x}{ {slot {-1+slot}");
  auto http = ::supervisor::probe::http("127.0.0.1:{65530+slot}", "/{slot}/{slot}").of(2, 1);
  BOOST_TEST(http.str() == "http://127.0.0.1:65532/2/2");
  BOOST_TEST(::supervisor::probe::log_line("{slot}").of(3, 1).str() == "log:{slot}");
}

BOOST_AUTO_TEST_CASE(faults_of_numbers) {
  auto p = ::supervisor::probe::heartbeat();
  BOOST_TEST(!find_fault(p));
  BOOST_TEST(*find_fault(p.every(0s)) == "probe heartbeat: its period must be more than zero");
  BOOST_TEST(find_fault(p.within(0s)).has_value());
  BOOST_TEST(find_fault(p.after(-1s)).has_value());
  BOOST_TEST(find_fault(p.ill_after(0)).has_value());
  BOOST_TEST(find_fault(p.well_after(0)).has_value());
}

BOOST_AUTO_TEST_SUITE_END()
