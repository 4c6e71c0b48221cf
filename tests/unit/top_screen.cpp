// The picture of prefork top.
#include "top_screen.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <boost/test/unit_test.hpp>
#include <regex>
#include <sstream>

namespace {

boost::json::object answer(const std::string& slots) {
  return boost::json::parse(R"({"master": {"name": "shop", "main_pid": 10, "version": "0.1.0",
    "uptime_s": 187}, "pools": [{"name": "web", "target": 3, "ready": 2, "slots": [)" +
                            slots + "]}]}")
      .as_object();
}

boost::json::object before() {
  return answer(R"({"slot": 0, "pid": 11, "state": "ready", "work": {"phase": "idle",
      "requests": 100}}, {"slot": 1, "pid": 12, "state": "ready", "work": {"requests": 5}})");
}

boost::json::object now() {
  return answer(R"({"slot": 0, "pid": 11, "state": "ready", "uptime_s": 12, "restarts": 0,
      "detail": "warm", "work": {"phase": "idle", "requests": 350, "in_flight": 0,
      "connections": 3, "busy_s": 0, "activity": ""}},
    {"slot": 1, "pid": 13, "state": "ready", "uptime_s": 1, "restarts": 1, "detail": "",
      "work": {"phase": "busy", "requests": 7, "in_flight": 2, "connections": 4, "busy_s": 61.5,
      "activity": "GET /slow"}},
    {"slot": 2, "pid": 0, "state": "backing off", "uptime_s": 0, "restarts": 9,
      "detail": "next start in 7 s, exit 70", "work": null})");
}

/// As a terminal would show it, without the blanks at the ends of lines.
std::string text_of(const std::string& picture) {
  std::istringstream plain(std::regex_replace(picture, std::regex("\x1b\\[[0-9;?]*[a-zA-Z]"), ""));
  std::string all;
  for (std::string line; std::getline(plain, line); all += line + '\n')
    line.erase(line.find_last_not_of(" \r") + 1);
  return all;
}

struct fixture {
  fixture() { update(screen, now(), before(), 2.5); }
  std::string slots() const {
    std::string all;
    for (auto& row : screen.rows) all += std::to_string(row.slot);
    return all;
  }
  app::top_screen screen;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(top_screen, fixture)

BOOST_AUTO_TEST_CASE(a_picture) {
  const std::string head = "shop 0.1.0, pid 10, up 3 m 7 s   web 2/3 ready\n";
  const std::string keys =
      "q quit   s sort   up/down or j/k select   + more   - fewer   r restart\n";
  BOOST_TEST(text_of(render_top(screen, 24, 110)) ==
             head +
                 "*NAME        PID STATE          REQ/S  FLIGHT  OPEN      BUSY ACTIVITY          "
                 "                 UP  RESTARTS\n" +
                 "web.0         11 idle           100.0       0     3         - warm              "
                 "               12 s         0\n" +
                 "web.1         13 busy               -       2     4   1 m 1 s GET /slow         "
                 "                1 s         1\n" +
                 "web.2          - backing off        -       -     -         - next start in 7 s,"
                 " exit 70          -         9\n" +
                 keys);
  BOOST_TEST(
      text_of(render_top(screen, 24, 80)) ==
      head + "*NAME        PID STATE          REQ/S  FLIGHT  OPEN      BUSY ACTIVITY\n" +
          "web.0         11 idle           100.0       0     3         - warm\n" +
          "web.1         13 busy               -       2     4   1 m 1 s GET /slow\n" +
          "web.2          - backing off        -       -     -         - next start in 7 s\n" +
          keys);
}

BOOST_AUTO_TEST_CASE(no_line_is_wider_than_the_terminal_and_no_picture_higher) {
  screen.message = "caf\u00e9 cr\u00e8me";
  for (unsigned columns : {0, 1, 7, 40, 200})
    for (unsigned lines : {1, 2, 3, 4, 5, 50}) {
      auto text = text_of(render_top(screen, lines, columns));
      std::size_t height = 0, begin = 0;
      for (std::size_t end; (end = text.find('\n', begin)) != text.npos;
           begin = end + 1, ++height) {
        auto line = text.substr(begin, end - begin);
        auto characters = std::ranges::count_if(
            line, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
        BOOST_TEST(characters <= static_cast<std::ptrdiff_t>(columns));
      }
      BOOST_TEST(height <= lines);
    }
}

BOOST_AUTO_TEST_CASE(the_selected_row_is_seen_and_marked) {
  for (std::size_t i = 0; i < 3; ++i) {
    screen.selected = i;
    auto picture = render_top(screen, 4, 80);  // room for one row
    auto mark = picture.find("\x1b[7mweb." + std::to_string(i));
    BOOST_TEST(mark != picture.npos);
  }
}

BOOST_AUTO_TEST_CASE(every_order_keeps_the_selection) {
  screen.selected = 1;  // web.1
  const std::pair<app::top_order, std::string> table[] = {
      {app::top_order::slot, "012"},      {app::top_order::rate, "012"},
      {app::top_order::in_flight, "102"}, {app::top_order::busy, "102"},
      {app::top_order::uptime, "012"},    {app::top_order::restarts, "210"}};
  auto order = app::top_order::slot;
  for (auto& [wanted, slots] : table) {
    BOOST_TEST((order == wanted));
    sort_by(screen, order);
    BOOST_TEST(this->slots() == slots);
    BOOST_TEST(screen.rows[screen.selected].slot == 1);
    order = next(order);
  }
  BOOST_TEST((order == app::top_order::slot));
}

BOOST_AUTO_TEST_CASE(a_newer_answer_keeps_order_and_selection) {
  sort_by(screen, app::top_order::restarts);
  screen.selected = 0;  // web.2
  update(screen, before(), now(), 1);
  BOOST_TEST(slots() == "01");
  BOOST_TEST(screen.selected == 0u);  // web.2 is gone, its place is not
  update(screen, now(), before(), 1);
  BOOST_TEST(slots() == "210");
  BOOST_TEST(screen.rows[screen.selected].slot == 0);
}

BOOST_AUTO_TEST_CASE(a_rate_is_of_one_process) {
  BOOST_TEST(*screen.rows[0].rate == 100.0);
  BOOST_TEST(!screen.rows[1].rate.has_value());  // another pid than before
  BOOST_TEST(!screen.rows[2].rate.has_value());
  BOOST_TEST(!app::top_rows(now(), before(), 0)[0].rate.has_value());
}

BOOST_AUTO_TEST_CASE(an_answer_of_another_shape_is_no_crash) {
  for (auto* text : {"{}", R"({"pools": 3})", R"({"pools": [1, {"slots": [2, {}]}]})",
                     R"({"master": [], "pools": [{"name": 3, "slots": [{"work": 1}]}]})"}) {
    auto odd = boost::json::parse(text).as_object();
    update(screen, odd, odd, 1);
    BOOST_TEST(!render_top(screen, 24, 80).empty());
  }
}

BOOST_AUTO_TEST_CASE(keys) {
  using key = app::top_key;
  std::string typed = "qjk\x1b[A\x1bOB+-rsx\x1b[C\x1bz\x1b[";
  const key expected[] = {key::quit,   key::down,   key::up,      key::up,   key::down,
                          key::more,   key::fewer,  key::restart, key::sort, key::redraw,
                          key::redraw, key::redraw, key::redraw};
  for (auto each : expected) BOOST_TEST((app::next_key(typed) == each));
  BOOST_TEST((app::next_key(typed) == key::none));
  BOOST_TEST(typed == "\x1b[");  // the rest of it is on the way
  typed += "B";
  BOOST_TEST((app::next_key(typed) == key::down));
  BOOST_TEST(typed.empty());
}

BOOST_AUTO_TEST_SUITE_END()
