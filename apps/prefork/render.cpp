#include "render.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <vector>

namespace json = boost::json;

namespace app {

std::string text_in(const json::object& from, const char* name) {
  auto* value = from.if_contains(name);
  if (!value) return {};
  if (value->is_string()) return {value->get_string().data(), value->get_string().size()};
  boost::system::error_code error;
  auto number = value->to_number<std::int64_t>(error);
  return error ? std::string() : std::to_string(number);
}

double number_in(const json::object& from, const char* name) {
  auto* value = from.if_contains(name);
  boost::system::error_code error;
  auto result = value ? value->to_number<double>(error) : 0;
  return error ? 0 : result;
}

const json::array& list_in(const json::object& from, const char* name) {
  static const json::array none;
  auto* value = from.if_contains(name);
  return value && value->is_array() ? value->get_array() : none;
}

const json::object& work_of(const json::object& slot) {
  static const json::object none;
  auto* value = slot.if_contains("work");
  return value && value->is_object() ? value->get_object() : none;
}

namespace {

bool flag(const json::object& from, const char* name) {
  auto* value = from.if_contains(name);
  return value && value->is_bool() && value->get_bool();
}

using row = std::vector<std::string>;

std::string pool_state(const json::object& pool) {
  if (flag(pool, "drained")) return "drained";
  auto* now = pool.if_contains("rollout");
  if (now && now->is_object()) {
    auto& rollout = now->get_object();
    return text_in(rollout, "stage") + (flag(rollout, "paused") ? ", paused" : "");
  }
  auto fine = number_in(pool, "ready") + number_in(pool, "finished");
  if (fine < number_in(pool, "target")) return "degraded";
  return number_in(pool, "ready") == 0 && fine > 0 ? "finished" : "ready";
}

std::string first_of(std::string a, std::string b) { return a.empty() ? std::move(b) : a; }

row slot_row(const std::string& pool, const json::object& slot, bool wide) {
  bool lives = number_in(slot, "pid") > 0;
  row cells{pool + '.' + text_in(slot, "slot"),
            flag(slot, "ready") ? "yes" : "no",
            render_state(slot),
            text_in(slot, "restarts"),
            lives ? render_uptime(number_in(slot, "uptime_s")) : "-",
            lives ? text_in(slot, "pid") : "-"};
  if (wide) {
    auto work = render_work(slot);
    cells.push_back(text_in(slot, "generation"));
    cells.push_back(first_of(text_in(work_of(slot), "requests"), "-"));
    cells.push_back(first_of(text_in(work_of(slot), "connections"), "-"));
    cells.push_back(first_of(text_in(slot, "last_exit"), "-"));
    cells.push_back(std::to_string(list_in(slot, "stored").size()));
    cells.push_back(first_of(std::move(work), "-"));
    cells.push_back(text_in(slot, "detail"));
  } else {
    cells.push_back(first_of(text_in(slot, "detail"), text_in(slot, "last_exit")));
  }
  return cells;
}

/// A group, and its children below it.
std::vector<row> group_rows(const json::object& group) {
  auto name = text_in(group, "name");
  std::vector<row> rows{
      {name, text_in(group, "strategy"), text_in(group, "state"), "", text_in(group, "reason")}};
  for (auto& entry : list_in(group, "children"))
    if (entry.is_object()) {
      auto& child = entry.get_object();
      rows.push_back({name + '.' + text_in(child, "name"), text_in(child, "kind"),
                      text_in(child, "state"), text_in(child, "restarts"),
                      text_in(child, "last_end")});
    }
  return rows;
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

/// "3, 2"; "nothing".
std::string generations_in(const json::array& numbers) {
  std::string all;
  for (auto& number : numbers) {
    boost::system::error_code error;
    all += fmt::format("{}{}", all.empty() ? "" : ", ", number.to_number<std::int64_t>(error));
  }
  return all.empty() ? "nothing" : all;
}

std::string render_rollout(const json::object& now) {
  auto stage = text_in(now, "stage");
  auto text = fmt::format("generation {}: {}", text_in(now, "generation"), stage);
  if (flag(now, "paused")) text += ", paused";
  if (stage == "baking")
    text += fmt::format(", {} left", render_uptime(number_in(now, "bake_left_s")));
  return text +
         fmt::format(
             "; {} of {} places are {}", text_in(now, "replaced"), text_in(now, "wanted"),
             stage == "going back" ? "back at generation " + text_in(now, "committed") : "of it");
}

}  // namespace

std::string render_uptime(double seconds) {
  auto s = static_cast<std::int64_t>(seconds);
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} m {} s", s / 60, s % 60);
  if (s < 86400) return fmt::format("{} h {} m", s / 3600, s / 60 % 60);
  return fmt::format("{} d {} h", s / 86400, s / 3600 % 24);
}

std::string render_state(const json::object& slot) {
  return flag(slot, "reloading") ? "reloading" : text_in(slot, "state");
}

std::string render_work(const json::object& slot) {
  auto& work = work_of(slot);
  auto in_flight = number_in(work, "in_flight");
  auto phase = text_in(work, "phase");
  if (in_flight == 0) return phase;
  auto words = fmt::format("{} for {}", first_of(text_in(work, "activity"), "a request"),
                           render_uptime(number_in(work, "busy_s")));
  if (in_flight > 1) words += fmt::format(", {} in flight", in_flight);
  return phase == "busy" ? words : phase + ": " + words;
}

namespace {

/// A line about the last upgrade, if that is not what runs.
std::string failed_upgrade(const json::object& master) {
  auto* last = master.if_contains("upgrade");
  if (!last || !last->is_object()) return {};
  auto end = text_in(last->get_object(), "end");
  if (end == "committed") return {};
  return fmt::format("the last upgrade {}: {}\n", end == "failed" ? "failed" : "was rolled back",
                     text_in(last->get_object(), "why"));
}

}  // namespace

std::string render_status(const json::object& status, bool wide) {
  std::string head;
  auto* about = status.if_contains("master");
  if (about && about->is_object()) {
    auto& master = about->get_object();
    head = fmt::format("{} {}, pid {}, up {}\n{}\n", text_in(master, "name"),
                       text_in(master, "version"), text_in(master, "main_pid"),
                       render_uptime(number_in(master, "uptime_s")), failed_upgrade(master));
  }
  std::vector<row> rows;
  rows.push_back(wide ? row{"NAME", "READY", "STATE", "RESTARTS", "UPTIME", "PID", "GENERATION",
                            "REQUESTS", "OPEN", "LAST EXIT", "STORED", "WORK", "DETAIL"}
                      : row{"NAME", "READY", "STATE", "RESTARTS", "UPTIME", "PID", "DETAIL"});
  for (auto& entry : list_in(status, "pools")) {
    if (!entry.is_object()) continue;
    auto& pool = entry.get_object();
    std::int64_t restarts = 0;
    for (auto& slot : list_in(pool, "slots"))
      if (slot.is_object())
        restarts += static_cast<std::int64_t>(number_in(slot.get_object(), "restarts"));
    row cells{text_in(pool, "name"),
              text_in(pool, "ready") + '/' + text_in(pool, "target"),
              pool_state(pool),
              std::to_string(restarts),
              "",
              ""};
    if (wide) cells.push_back(text_in(pool, "generation"));
    rows.push_back(std::move(cells));
    for (auto& slot : list_in(pool, "slots"))
      if (slot.is_object())
        rows.push_back(slot_row(text_in(pool, "name"), slot.get_object(), wide));
  }
  std::vector<row> groups{{"GROUP", "IS", "STATE", "RESTARTS", "LAST END"}};
  for (auto& entry : list_in(status, "groups"))
    if (entry.is_object())
      for (auto& cells : group_rows(entry.get_object())) groups.push_back(std::move(cells));
  return head + align(rows) + (groups.size() > 1 ? '\n' + align(groups) : std::string());
}

std::string render_rollouts(const json::object& rollouts) {
  std::string all;
  for (auto& entry : list_in(rollouts, "pools")) {
    if (!entry.is_object()) continue;
    auto& pool = entry.get_object();
    auto* now = pool.if_contains("rollout");
    auto text = now && now->is_object()
                    ? render_rollout(now->get_object())
                    : fmt::format("generation {} serves, no rollout is under way",
                                  text_in(pool, "generation"));
    all += fmt::format("{}: {}; undo can go back to {}\n", text_in(pool, "name"), text,
                       generations_in(list_in(pool, "kept")));
  }
  return all;
}

std::string render_history(const json::object& rollouts) {
  std::vector<row> rows{{"NAME", "GENERATION", "BEGAN", "ENDED", "RESULT", "WHAT", "WHY"}};
  for (auto& entry : list_in(rollouts, "pools")) {
    if (!entry.is_object()) continue;
    auto& pool = entry.get_object();
    for (auto& past : list_in(pool, "history"))
      if (past.is_object()) {
        auto& one = past.get_object();
        rows.push_back({text_in(pool, "name"), text_in(one, "generation"), text_in(one, "began"),
                        first_of(text_in(one, "ended"), "-"), text_in(one, "end"),
                        text_in(one, "what"), text_in(one, "why")});
      }
  }
  return align(rows);
}

}  // namespace app
