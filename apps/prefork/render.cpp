#include "render.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <vector>

namespace json = boost::json;

namespace app {

namespace {

using row = std::vector<std::string>;

std::string text(const json::object& from, const char* name) {
  auto* value = from.if_contains(name);
  if (!value) return {};
  if (value->is_string()) return {value->get_string().data(), value->get_string().size()};
  boost::system::error_code error;
  auto number = value->to_number<std::int64_t>(error);
  return error ? std::string() : std::to_string(number);
}

bool flag(const json::object& from, const char* name) {
  auto* value = from.if_contains(name);
  return value && value->is_bool() && value->get_bool();
}

double number(const json::object& from, const char* name) {
  auto* value = from.if_contains(name);
  boost::system::error_code error;
  auto result = value ? value->to_number<double>(error) : 0;
  return error ? 0 : result;
}

const json::array& list(const json::object& from, const char* name) {
  static const json::array none;
  auto* value = from.if_contains(name);
  return value && value->is_array() ? value->get_array() : none;
}

std::string pool_state(const json::object& pool) {
  if (flag(pool, "drained")) return "drained";
  if (flag(pool, "rolling")) return "rolling";
  return number(pool, "ready") < number(pool, "target") ? "degraded" : "ready";
}

std::string first_of(std::string a, std::string b) { return a.empty() ? std::move(b) : a; }

row slot_row(const std::string& pool, const json::object& slot, bool wide) {
  bool lives = number(slot, "pid") > 0;
  row cells{pool + '.' + text(slot, "slot"),
            flag(slot, "ready") ? "yes" : "no",
            text(slot, "state"),
            text(slot, "restarts"),
            lives ? render_uptime(number(slot, "uptime_s")) : "-",
            lives ? text(slot, "pid") : "-"};
  if (wide) {
    cells.push_back(text(slot, "generation"));
    cells.push_back(first_of(text(slot, "last_exit"), "-"));
    cells.push_back(text(slot, "detail"));
  } else {
    cells.push_back(first_of(text(slot, "detail"), text(slot, "last_exit")));
  }
  return cells;
}

/// Columns as wide as their widest cell; the last one is free.
std::string align(const std::vector<row>& rows) {
  std::vector<std::size_t> widths;
  for (auto& cells : rows)
    for (std::size_t i = 0; i < cells.size(); ++i) {
      if (i == widths.size()) widths.push_back(0);
      widths[i] = std::max(widths[i], cells[i].size());
    }
  std::string all;
  for (auto& cells : rows) {
    std::string line;
    for (std::size_t i = 0; i < cells.size(); ++i)
      line += fmt::format("{:<{}}  ", cells[i], widths[i]);
    line.erase(line.find_last_not_of(' ') + 1);
    all += line + '\n';
  }
  return all;
}

}  // namespace

std::string render_uptime(double seconds) {
  auto s = static_cast<std::int64_t>(seconds);
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} m {} s", s / 60, s % 60);
  if (s < 86400) return fmt::format("{} h {} m", s / 3600, s / 60 % 60);
  return fmt::format("{} d {} h", s / 86400, s / 3600 % 24);
}

std::string render_status(const json::object& status, bool wide) {
  std::string head;
  auto* about = status.if_contains("master");
  if (about && about->is_object()) {
    auto& master = about->get_object();
    head = fmt::format("{} {}, pid {}, up {}\n\n", text(master, "name"), text(master, "version"),
                       text(master, "main_pid"), render_uptime(number(master, "uptime_s")));
  }
  std::vector<row> rows;
  rows.push_back(wide ? row{"NAME", "READY", "STATE", "RESTARTS", "UPTIME", "PID", "GENERATION",
                            "LAST EXIT", "DETAIL"}
                      : row{"NAME", "READY", "STATE", "RESTARTS", "UPTIME", "PID", "DETAIL"});
  for (auto& entry : list(status, "pools")) {
    if (!entry.is_object()) continue;
    auto& pool = entry.get_object();
    std::int64_t restarts = 0;
    for (auto& slot : list(pool, "slots"))
      if (slot.is_object())
        restarts += static_cast<std::int64_t>(number(slot.get_object(), "restarts"));
    row cells{text(pool, "name"),
              text(pool, "ready") + '/' + text(pool, "target"),
              pool_state(pool),
              std::to_string(restarts),
              "",
              ""};
    if (wide) cells.push_back(text(pool, "generation"));
    rows.push_back(std::move(cells));
    for (auto& slot : list(pool, "slots"))
      if (slot.is_object()) rows.push_back(slot_row(text(pool, "name"), slot.get_object(), wide));
  }
  return head + align(rows);
}

}  // namespace app
