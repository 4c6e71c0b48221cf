#include "top_screen.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdlib>
#include <map>
#include <tuple>

#include "render.hpp"

namespace json = boost::json;

namespace app {

namespace {

constexpr const char* inverse = "\x1b[7m";
constexpr const char* bold = "\x1b[1m";
constexpr const char* plain = "\x1b[0m";
constexpr const char* clear_rest = "\x1b[J";  // from the cursor on

std::int64_t integer(const json::object& from, const char* name) {
  return static_cast<std::int64_t>(number_in(from, name));
}

/// At most `columns` characters, which are taken to be one column wide each, and then cut or
/// padded.
std::string fit(std::string_view text, std::size_t columns) {
  std::string cut;
  std::size_t used = 0;
  for (char c : text) {
    bool starts = (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    if (starts && used == columns) break;
    used += starts;
    cut += c;
  }
  return cut.append(columns - used, ' ');
}

struct column {
  const char* title;
  int width;  ///< negative: to the left; 0: what the others leave
  top_order order;
};
constexpr column columns_of_top[] = {
    {"NAME", -8, top_order::slot},       {"PID", 7, top_order::slot},
    {"STATE", -11, top_order::slot},     {"REQ/S", 8, top_order::rate},
    {"FLIGHT", 7, top_order::in_flight}, {"OPEN", 5, top_order::slot},
    {"BUSY", 9, top_order::busy},        {"ACTIVITY", 0, top_order::slot},
    {"UP", 9, top_order::uptime},        {"RESTARTS", 9, top_order::restarts},
};
constexpr std::size_t column_count = std::size(columns_of_top);
constexpr int least_activity = 17;  ///< with it, a terminal of 80 columns shows all up to there

std::string table_line(const std::array<std::string, column_count>& cells, unsigned columns) {
  int fixed = 0;
  for (auto& c : columns_of_top) fixed += std::abs(c.width) + 1;
  const int rest = std::max(least_activity, static_cast<int>(columns) - fixed);
  std::string line;
  for (std::size_t i = 0; i < column_count; ++i) {
    auto width = columns_of_top[i].width;
    if (width > 0)
      line += fmt::format("{:>{}} ", cells[i], width);
    else
      line += fit(cells[i], static_cast<std::size_t>(width ? -width : rest)) + ' ';
  }
  return line;
}

std::string title_line(top_order order, unsigned columns) {
  std::array<std::string, column_count> titles;
  for (std::size_t i = 0; i < column_count; ++i) {
    auto& c = columns_of_top[i];
    bool marked = c.order == order && (order != top_order::slot || i == 0);
    titles[i] = std::string(marked ? "*" : "") + c.title;
  }
  return table_line(titles, columns);
}

std::string row_line(const top_row& row, unsigned columns) {
  bool lives = row.pid > 0;
  return table_line(
      {fmt::format("{}.{}", row.pool, row.slot), lives ? std::to_string(row.pid) : "-", row.state,
       row.rate ? fmt::format("{:.1f}", *row.rate) : "-",
       lives ? std::to_string(row.in_flight) : "-", lives ? std::to_string(row.connections) : "-",
       row.in_flight > 0 ? render_uptime(row.busy) : "-", row.activity,
       lives ? render_uptime(row.uptime) : "-", std::to_string(row.restarts)},
      columns);
}

auto place_of(const top_row& row) { return std::tie(row.pool, row.slot, row.pid); }

bool comes_first(top_order order, const top_row& a, const top_row& b) {
  auto by = [&](auto value_of) {
    auto left = value_of(a), right = value_of(b);
    return left != right ? left > right : place_of(a) < place_of(b);
  };
  switch (order) {
    case top_order::slot:
      break;
    case top_order::rate:
      return by([](auto& row) { return row.rate.value_or(-1); });
    case top_order::in_flight:
      return by([](auto& row) { return row.in_flight; });
    case top_order::busy:
      return by([](auto& row) { return row.busy; });
    case top_order::uptime:
      return by([](auto& row) { return row.uptime; });
    case top_order::restarts:
      return by([](auto& row) { return row.restarts; });
  }
  return place_of(a) < place_of(b);
}

template <typename Visit>
void for_each_slot(const json::object& status, Visit visit) {
  for (auto& entry : list_in(status, "pools")) {
    if (!entry.is_object()) continue;
    auto& pool = entry.get_object();
    for (auto& slot : list_in(pool, "slots"))
      if (slot.is_object()) visit(text_in(pool, "name"), slot.get_object());
  }
}

std::string head_of(const json::object& status) {
  std::string head;
  auto* about = status.if_contains("master");
  if (about && about->is_object()) {
    auto& master = about->get_object();
    head = fmt::format("{} {}, pid {}, up {}", text_in(master, "name"), text_in(master, "version"),
                       text_in(master, "main_pid"), render_uptime(number_in(master, "uptime_s")));
  }
  for (auto& entry : list_in(status, "pools"))
    if (entry.is_object()) {
      auto& pool = entry.get_object();
      head += fmt::format("   {} {}/{} ready", text_in(pool, "name"), text_in(pool, "ready"),
                          text_in(pool, "target"));
    }
  return head;
}

}  // namespace

std::vector<top_row> top_rows(const json::object& now, const json::object& before, double seconds) {
  std::map<std::int64_t, std::int64_t> requests_of;  // by pid
  for_each_slot(before, [&](const std::string&, const json::object& slot) {
    requests_of[integer(slot, "pid")] = integer(work_of(slot), "requests");
  });
  std::vector<top_row> rows;
  for_each_slot(now, [&](const std::string& pool, const json::object& slot) {
    auto& work = work_of(slot);
    top_row row;
    row.pool = pool;
    row.slot = integer(slot, "slot");
    row.pid = integer(slot, "pid");
    row.state = render_state(slot);
    if (row.state == "ready" && !work.empty()) row.state = text_in(work, "phase");
    row.uptime = number_in(slot, "uptime_s");
    row.restarts = integer(slot, "restarts");
    auto requests = integer(work, "requests");
    row.in_flight = integer(work, "in_flight");
    row.connections = integer(work, "connections");
    row.busy = number_in(work, "busy_s");
    row.activity = text_in(work, "activity");
    if (row.activity.empty()) row.activity = text_in(slot, "detail");
    auto known = requests_of.find(row.pid);
    if (row.pid > 0 && !work.empty() && known != requests_of.end() && seconds > 0)
      row.rate = static_cast<double>(requests - known->second) / seconds;
    rows.push_back(std::move(row));
  });
  return rows;
}

top_order next(top_order order) noexcept {
  return order == top_order::restarts ? top_order::slot
                                      : static_cast<top_order>(static_cast<int>(order) + 1);
}

void sort_by(top_screen& screen, top_order order) {
  screen.order = order;
  auto& rows = screen.rows;
  std::optional<top_row> chosen;
  if (screen.selected < rows.size()) chosen = rows[screen.selected];
  std::ranges::sort(rows, [&](auto& a, auto& b) { return comes_first(order, a, b); });
  if (!chosen) return;
  auto same = [&](const top_row& row) { return place_of(row) == place_of(*chosen); };
  screen.selected = static_cast<std::size_t>(std::ranges::find_if(rows, same) - rows.begin());
}

void update(top_screen& screen, const json::object& now, const json::object& before,
            double seconds) {
  std::optional<top_row> chosen;
  if (screen.selected < screen.rows.size()) chosen = screen.rows[screen.selected];
  screen.head = head_of(now);
  screen.rows = top_rows(now, before, seconds);
  std::ranges::sort(screen.rows, [&](auto& a, auto& b) { return comes_first(screen.order, a, b); });
  if (!chosen) return;
  // A slot keeps its place in people's minds, whoever has it now.
  auto same = [&](const top_row& row) {
    return row.pool == chosen->pool && row.slot == chosen->slot;
  };
  auto it = std::ranges::find_if(screen.rows, same);
  auto last = screen.rows.empty() ? 0 : screen.rows.size() - 1;
  screen.selected = it != screen.rows.end() ? static_cast<std::size_t>(it - screen.rows.begin())
                                            : std::min(screen.selected, last);
}

std::string render_top(const top_screen& screen, unsigned lines, unsigned columns) {
  std::string all = "\x1b[H";
  unsigned used = 0;
  auto put = [&](std::string_view text, const char* style) {
    if (used == lines) return;
    all +=
        fmt::format("{}{}{}{}", used ? "\r\n" : "", style, fit(text, columns), *style ? plain : "");
    ++used;
  };
  put(screen.head, "");
  put(title_line(screen.order, columns), bold);
  // Of more rows than there is room for, those around the selected one.
  const std::size_t room = lines > 3 ? lines - 3 : 0;
  const std::size_t first = screen.selected < room ? 0 : screen.selected - room + 1;
  for (std::size_t i = first; i < screen.rows.size() && i < first + room; ++i)
    put(row_line(screen.rows[i], columns), i == screen.selected ? inverse : "");
  put(screen.message.empty()
          ? "q quit   s sort   up/down or j/k select   + more   - fewer   r restart"
          : screen.message,
      bold);
  return all + clear_rest;
}

top_key next_key(std::string& typed) {
  if (typed.empty()) return top_key::none;
  if (typed[0] == '\x1b') {
    bool arrow = typed.size() >= 2 && (typed[1] == '[' || typed[1] == 'O');
    if (typed.size() < (arrow ? 3u : 2u)) return top_key::none;
    char last = arrow ? typed[2] : '\0';
    typed.erase(0, arrow ? 3 : 1);
    return last == 'A' ? top_key::up : last == 'B' ? top_key::down : top_key::redraw;
  }
  char key = typed[0];
  typed.erase(0, 1);
  switch (key) {
    case 'q':
      return top_key::quit;
    case 'k':
      return top_key::up;
    case 'j':
      return top_key::down;
    case 's':
      return top_key::sort;
    case '+':
      return top_key::more;
    case '-':
      return top_key::fewer;
    case 'r':
      return top_key::restart;
    default:
      return top_key::redraw;
  }
}

}  // namespace app
