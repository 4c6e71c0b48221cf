#include "control/log_format.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "control/text.hpp"
#include "supervisor/signals.hpp"

namespace supervisor {

namespace {

/// An object under construction: `{"a":1,"b":"c"`.
class object {
 public:
  explicit object(std::string& out) : out_(out) { out_ += '{'; }
  ~object() { out_ += '}'; }
  object(const object&) = delete;

  void string(std::string_view name, std::string_view value) {
    key(name);
    quote(value);
  }
  void text(std::string_view name, std::string_view value) {
    if (!value.empty()) string(name, value);
  }
  template <typename Number>
  void number(std::string_view name, Number value) {
    key(name);
    fmt::format_to(std::back_inserter(out_), "{}", value);
  }
  void seconds(std::string_view name, duration value) {
    key(name);
    fmt::format_to(std::back_inserter(out_), "{:.3f}",
                   std::chrono::duration<double>(value).count());
  }
  void key(std::string_view name) {
    if (out_.back() != '{') out_ += ',';
    quote(name);
    out_ += ':';
  }

 private:
  void quote(std::string_view text) {
    out_ += '"';
    while (!text.empty()) {
      auto length = utf8_length(text);
      auto c = text.front();
      if (length == 0)
        out_ += "\xef\xbf\xbd";  // U+FFFD
      else if (c == '"' || c == '\\')
        (out_ += '\\') += c;
      else if (is_control(static_cast<unsigned char>(c)))
        fmt::format_to(std::back_inserter(out_), "\\u{:04x}", static_cast<unsigned char>(c));
      else
        out_ += text.substr(0, length);
      text.remove_prefix(length ? length : 1);
    }
    out_ += '"';
  }

  std::string& out_;
};

/// What event::count means, by kind; empty where the kind does not use it.
std::string_view count_name(event_kind kind) {
  switch (kind) {
    case event_kind::supervisor_stopped:
      return "exit_code";
    case event_kind::signal_received:
      return "times";
    case event_kind::pool_opened:
    case event_kind::pool_resized:
      return "target";
    case event_kind::pool_stopping:
      return "quick";
    case event_kind::worker_escalated:
      return "step";
    case event_kind::worker_exited:
    case event_kind::worker_ailing:
      return "failures";
    case event_kind::group_restarting:
      return "restarts";
    default:
      return {};
  }
}

/// What event::deadline means.
std::string_view deadline_name(event_kind kind) {
  return kind == event_kind::worker_exited ? "next_start_in_s" : "next_step_in_s";
}

void add_subject(object& o, const event& e) {
  o.text("pool", e.pool);
  o.text("group", e.group);
  o.text("child", e.member);
  if (e.slot_id) o.number("slot", e.slot);
  if (e.generation) o.number("generation", e.generation);
  bool sent = e.kind == event_kind::signal_received || e.kind == event_kind::signal_unhandled;
  if (e.pid > 0) o.number(sent ? "from_pid" : "pid", e.pid);
  if (sent && e.pid > 0) o.number("from_uid", e.uid);
}

void add_launch_error(object& o, std::string& out, const launch_error& why) {
  o.key("launch_error");
  object inner(out);
  inner.string("stage", why.stage);
  inner.number("errno", why.error);
  inner.text("what", why.what);
}

void add_report(object& o, std::string& out, const exit_report& report) {
  if (report.launch) return add_launch_error(o, out, *report.launch);
  o.string("status", report.status.str());
  o.seconds("uptime_s", report.uptime);
  o.seconds("user_s", report.user_time);
  o.seconds("system_s", report.system_time);
  o.number("max_rss_kib", report.max_rss_kib);
  o.text("last_output", report.last_output);
  o.text("last_work", report.last_work);
  o.text("failure", report.failure);
}

void add_details(object& o, std::string& out, const event& e) {
  if (auto name = count_name(e.kind); !name.empty()) o.number(name, e.count);
  if (e.number > 0 && e.group.empty()) {
    if (e.kind == event_kind::slot_added)
      o.number("replaces_id", e.number);
    else if (e.kind == event_kind::worker_exited)
      o.number("recent_failures", e.number);
    else
      o.string("signal", signal_name(static_cast<int>(e.number)));
  }
  if (e.next != verdict::again) o.string("verdict", to_string(e.next));
  if (e.deadline != never && e.kind != event_kind::worker_launched)
    o.seconds(deadline_name(e.kind), std::max(duration{}, e.deadline - e.at));
  if (e.why != exit_cause::none) o.string("why", to_string(e.why));
  if (e.launch)
    add_launch_error(o, out, *e.launch);
  else if (e.kind == event_kind::worker_exited || e.kind == event_kind::mold_exited)
    o.string("status", e.exit.str());
  if (e.report) add_report(o, out, *e.report);
  o.text("text", e.text);
}

std::string lost_words(std::uint64_t lost) {
  return fmt::format("{} log line{} dropped: nobody took them", lost, lost == 1 ? "" : "s");
}

}  // namespace

std::string format_text(const log_entry& entry) {
  std::string message;
  if (entry.what) {
    auto& e = *entry.what;
    message = printable(describe(e, e.at));
    message += e.cause ? fmt::format(" (#{} <- #{})", e.id, e.cause) : fmt::format(" (#{})", e.id);
  } else if (entry.lost) {
    message = lost_words(entry.lost);
  } else {
    message = fmt::format("{}.{} | {}", entry.pool, entry.slot, printable(entry.line));
  }
  return fmt::format("{} {:<7} {}\n", iso_time(entry.wall), to_string(entry.level), message);
}

std::string format_json(const log_entry& entry) {
  std::string out;
  {
    object o(out);
    o.string("time", iso_time(entry.wall));
    o.string("severity", to_string(entry.level));
    if (entry.what) {
      auto& e = *entry.what;
      o.string("event", to_string(e.kind));
      o.number("id", e.id);
      if (e.cause) o.number("cause", e.cause);
      add_subject(o, e);
      add_details(o, out, e);
      o.string("message", describe(e, e.at));
    } else if (entry.lost) {
      o.string("event", "log.dropped");
      o.number("lines", entry.lost);
      o.string("message", lost_words(entry.lost));
    } else {
      o.string("event", "worker.output");
      o.string("pool", entry.pool);
      o.number("slot", entry.slot);
      o.string("stream", entry.is_stderr ? "stderr" : "stdout");
      o.string("message", entry.line);
    }
  }
  return out += '\n';
}

}  // namespace supervisor
