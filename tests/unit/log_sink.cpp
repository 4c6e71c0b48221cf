#include "control/log_sink.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <csignal>
#include <stdexcept>

using namespace supervisor;
using namespace std::chrono_literals;
namespace json = boost::json;
using sink = ::supervisor::log_sink;  // the suite has the plain name

namespace {

constexpr wall_time wall{1'795'356'187'123ms};  // 2026-11-22T14:03:07.123Z

log_options options(severity level, bool as_json) {
  log_options o;
  o.level = level;
  o.json = as_json;
  return o;
}

/// A sink whose writer keeps the lines, while it works.
struct kept {
  explicit kept(severity level = severity::debug, bool as_json = false)
      : log(options(level, as_json), [this](std::string_view line) {
          if (works) lines.emplace_back(line);
          return works;
        }) {}
  json::object object(std::size_t i) const { return json::parse(lines.at(i)).as_object(); }

  bool works = true;
  std::vector<std::string> lines;
  sink log;
};

event ready_event() {
  event e(event_kind::worker_ready);
  e.id = 12;
  e.cause = 9;
  e.at = time_point(1h);
  e.wall = wall;
  e.pool = "http";
  e.slot_id = 5;
  e.generation = 1;
  e.pid = 4711;
  return e;
}

event note(std::string text) {
  event e(event_kind::note);
  e.id = 1;
  e.wall = wall;
  e.text = std::move(text);
  return e;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(log_sink)

BOOST_AUTO_TEST_CASE(a_line_of_text_has_time_severity_words_and_ids) {
  kept k;
  auto e = ready_event();
  k.log.write(e);
  e.cause = 0;
  k.log.write(e);
  BOOST_REQUIRE(k.lines.size() == 2u);
  BOOST_TEST(k.lines[0] ==
             "2026-11-22T14:03:07.123Z info    http.0 gen 1 pid 4711 ready (#12 <- #9)\n");
  BOOST_TEST(k.lines[1] == "2026-11-22T14:03:07.123Z info    http.0 gen 1 pid 4711 ready (#12)\n");
}

BOOST_AUTO_TEST_CASE(only_what_is_severe_enough_is_written) {
  kept k(severity::info);
  event e(event_kind::worker_launched);
  k.log.write(e);
  BOOST_TEST(k.lines.empty());
  event other(event_kind::rollout_failed);
  k.log.write(other);
  k.log.write(note("info is just enough"));
  BOOST_TEST(k.lines.size() == 2u);
}

BOOST_AUTO_TEST_CASE(workers_are_heard_whatever_the_level) {
  kept k(severity::error);
  k.log.output_line("http", 0, false, "hello");
  BOOST_TEST(k.lines.size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_record_is_one_line_whatever_it_says) {
  kept k;
  k.log.write(note("two\nlines \x1b[31mred\r"));
  k.log.output_line("http", 3, true, "a\tb\x1b[0m");
  BOOST_REQUIRE(k.lines.size() == 2u);
  BOOST_TEST(k.lines[0].ends_with(" two\\nlines \\x1b[31mred\\x0d (#1)\n"));
  BOOST_TEST(k.lines[1].ends_with("Z info    http.3 | a\tb\\x1b[0m\n"));
}

BOOST_AUTO_TEST_CASE(json_has_the_fields_of_the_kind_and_no_others) {
  kept k(severity::debug, true);
  k.log.write(ready_event());
  BOOST_REQUIRE(k.lines.size() == 1u);
  BOOST_TEST(k.lines[0] ==
             R"({"time":"2026-11-22T14:03:07.123Z","severity":"info","event":"worker.ready",)"
             R"("id":12,"cause":9,"pool":"http","slot":0,"generation":1,"pid":4711,)"
             R"("message":"http.0 gen 1 pid 4711 ready"})"
             "\n");
  auto exit = ready_event();
  exit.kind = event_kind::worker_exited;
  exit.exit = exit_status::exited(70);
  exit.why = exit_cause::crash;
  exit.count = 3;
  exit.deadline = exit.at + 7s;
  k.log.write(exit);
  auto object = k.object(1);
  BOOST_TEST(object.at("status").as_string() == "exit 70");
  BOOST_TEST(object.at("why").as_string() == "crash");
  BOOST_TEST(object.at("failures").as_int64() == 3);
  BOOST_TEST(object.at("next_start_in_s").as_double() == 7.0);
  BOOST_TEST(!object.contains("signal"));
  BOOST_TEST(!object.contains("verdict"));
  BOOST_TEST(!object.contains("text"));
  exit.next = verdict::given_up;
  exit.number = 6;
  k.log.write(exit);
  object = k.object(2);
  BOOST_TEST(object.at("verdict").as_string() == "given_up");
  BOOST_TEST(object.at("recent_failures").as_int64() == 6);
}

BOOST_AUTO_TEST_CASE(json_of_failures_and_reports_nests) {
  kept k(severity::debug, true);
  auto exit = ready_event();
  exit.kind = event_kind::worker_exited;
  exit.why = exit_cause::launch_failure;
  exit.launch = launch_error{"exec", ENOENT, "/usr/bin/nope"};
  k.log.write(exit);
  auto error = k.object(0).at("launch_error");
  BOOST_TEST(json::serialize(error) == R"({"stage":"exec","errno":2,"what":"/usr/bin/nope"})");
  auto reaped = ready_event();
  reaped.kind = event_kind::worker_reported;
  exit_report report;
  report.status = exit_status::signalled(SIGSEGV);
  report.uptime = 1500ms;
  report.max_rss_kib = 1024;
  report.last_output = "a\nb\n";
  reaped.report = std::make_shared<exit_report>(report);
  k.log.write(reaped);
  auto object = k.object(1);
  BOOST_TEST(object.at("status").as_string() == "SIGSEGV");
  BOOST_TEST(object.at("uptime_s").as_double() == 1.5);
  BOOST_TEST(object.at("max_rss_kib").as_int64() == 1024);
  BOOST_TEST(object.at("last_output").as_string() == "a\nb\n");
  auto stopping = ready_event();
  stopping.kind = event_kind::worker_stopping;
  stopping.number = SIGTERM;
  stopping.deadline = stopping.at + 30s;
  k.log.write(stopping);
  BOOST_TEST(k.object(2).at("signal").as_string() == "SIGTERM");
  BOOST_TEST(k.object(2).at("next_step_in_s").as_double() == 30.0);
}

BOOST_AUTO_TEST_CASE(json_is_valid_whatever_a_worker_writes) {
  kept k(severity::debug, true);
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  const std::pair<std::string, std::string> table[] = {
      {"plain \"quoted\" \\ \t\x7f", "plain \"quoted\" \\ \t\x7f"},
      {"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
       "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"},
      {"cut \xe2\x82", "cut \xef\xbf\xbd\xef\xbf\xbd"},
      {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
      {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
      {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
      {"\xe0\x9f\xbf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
      {"\xf0\x8f\xbf\xbf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}};
  for (auto& [written, read] : table) k.log.output_line("http", 1, false, written);
  k.log.output_line("http", 1, true, all);
  for (std::size_t i = 0; i < std::size(table); ++i)
    BOOST_TEST(k.object(i).at("message").as_string() == table[i].second);
  auto last = k.object(std::size(table));
  BOOST_TEST(last.at("event").as_string() == "worker.output");
  BOOST_TEST(last.at("stream").as_string() == "stderr");
  BOOST_TEST(last.at("slot").as_int64() == 1);
}

BOOST_AUTO_TEST_CASE(lost_lines_are_counted_and_told_of_once) {
  for (bool as_json : {false, true}) {
    kept k(severity::debug, as_json);
    k.works = false;
    for (int i = 0; i < 3; ++i) k.log.write(note("lost"));
    k.works = true;
    k.log.write(note("back"));
    k.log.write(note("again"));
    BOOST_REQUIRE(k.lines.size() == 3u);
    BOOST_TEST(k.lines[0].find("3 log lines dropped") != std::string::npos);
    BOOST_TEST(k.lines[1].find("back") != std::string::npos);
    BOOST_TEST(k.lines[2].find("again") != std::string::npos);
    if (as_json) BOOST_TEST(k.object(0).at("lines").as_int64() == 3);
  }
}

BOOST_AUTO_TEST_CASE(a_writer_that_throws_loses_a_line_and_no_more) {
  bool throws = true;
  std::vector<std::string> lines;
  sink log(options(severity::debug, false), [&](std::string_view line) {
    if (throws) throw std::runtime_error("disk on fire");
    lines.emplace_back(line);
    return true;
  });
  log.write(note("lost"));
  throws = false;
  log.write(note("back"));
  BOOST_REQUIRE(lines.size() == 2u);
  BOOST_TEST(lines[0].find("1 log line dropped") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(two_masters_in_one_program_have_two_logs) {
  kept one, two;
  one.log.write(note("first"));
  {
    kept three;
    two.log.write(note("second"));
    BOOST_TEST(three.lines.empty());
  }
  BOOST_TEST(one.lines.size() == 1u);
  BOOST_TEST(two.lines.size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
