#include "commands.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "client.hpp"
#include "config.hpp"
#include "demo.hpp"
#include "fleet.hpp"
#include "plan.hpp"
#include "render.hpp"
#include "supervisor/errc.hpp"
#include "top.hpp"

namespace app {

namespace {

namespace asio = boost::asio;
namespace json = boost::json;
namespace exit_code = supervisor::exit_code;
using verb = control_request::verb;

/// A status takes a master no time: one that has none for it is not well.
constexpr std::chrono::nanoseconds status_patience = std::chrono::seconds(10);

bool is_look(const control_request& what) {
  return what.what == verb::status ||
         (what.what == verb::rollout && (what.action == "status" || what.action == "history"));
}

std::string target_of(const control_request& what) {
  switch (what.what) {
    case verb::status:
    case verb::top:
      return "/status";
    case verb::scale:
      return "/scale";
    case verb::reload:
      return "/reload";
    case verb::restart:
      return "/restart";
    case verb::signal:
      return "/signal";
    case verb::rollout:
      return is_look(what) ? "/rollout" : "/rollout/" + what.action;
    case verb::plan:
      return "/plan";
    case verb::apply:
      return "/apply";
    case verb::upgrade:
      return "/upgrade";
    case verb::check:
    case verb::stop:
      break;
  }
  return "/stop";
}

json::object parse_answer(const answer& got) {
  boost::system::error_code error;
  auto value = json::parse(got.body, error);
  if (error || !value.is_object())
    throw no_answer(exit_code::unreachable, "the answer is not a master's: " + got.body);
  return std::move(value.as_object());
}

std::int64_t integer(const json::object& from, const char* name, std::int64_t otherwise) {
  auto* value = from.if_contains(name);
  return value && value->is_int64() ? value->get_int64() : otherwise;
}

/// 5 where a pool has fewer ready workers than it should have.
int health_of(const json::object& status) {
  auto* pools = status.if_contains("pools");
  if (!pools || !pools->is_array()) return exit_code::unreachable;
  for (auto& entry : pools->get_array()) {
    auto& pool = entry.as_object();
    if (!pool.at("drained").as_bool() && integer(pool, "ready", 0) < integer(pool, "target", 0))
      return exit_code::degraded;
  }
  return exit_code::ok;
}

int show_status(const control_request& what, const answer& got) {
  auto status = parse_answer(got);
  if (what.output == control_request::format::json)
    fmt::print("{}", got.body);
  else
    fmt::print("{}", render_status(status, what.output == control_request::format::wide));
  return health_of(status);
}

int show_rollouts(const control_request& what, const answer& got) {
  auto rollouts = parse_answer(got);
  if (what.output == control_request::format::json)
    fmt::print("{}", got.body);
  else
    fmt::print("{}",
               what.action == "history" ? render_history(rollouts) : render_rollouts(rollouts));
  return exit_code::ok;
}

/// Silent when all is well, but for what there is to read: the exit code tells.
int show_outcome(const answer& got) {
  auto outcome = parse_answer(got);
  auto code = static_cast<int>(integer(outcome, "exit", exit_code::failed));
  if (auto* text = outcome.if_contains("text"); text && text->is_string())
    fmt::print(code == exit_code::usage ? stderr : stdout, "{}", text->get_string().c_str());
  auto* reason = outcome.if_contains("reason");
  if (reason && reason->is_string())
    fmt::print(stderr, "prefork: {}\n",
               std::string_view(reason->get_string().data(), reason->get_string().size()));
  else if (code == exit_code::degraded)
    fmt::print(stderr, "prefork: done, but not every worker is ready; see: prefork status\n");
  return code;
}

/// What curl is given to reach it.
std::string sample_url(supervisor::listener_spec listener) {
  using family = supervisor::listener_spec::family;
  if (listener.kind == family::unix_path)
    return fmt::format("--unix-socket {} http://localhost", listener.host);
  if (listener.kind == family::descriptor) return "http://localhost";
  if (listener.host == "*" || listener.host == "0.0.0.0" || listener.host == "::")
    listener.host = "localhost";
  return "http://" + listener.address();
}

/// The options by which the verbs find this master.
std::string whereabouts(const supervisor::run_options& run) {
  if (run.control != supervisor::default_control_path(run.name)) return " --control " + run.control;
  return run.name == "prefork" ? "" : " --name " + run.name;
}

void greet(const supervisor::supervisor& self, const run_request& what, const char* program,
           const listener_list& listeners) {
  auto pid = supervisor::main_pid();
  auto url = sample_url(listeners.front());
  const std::pair<std::string, const char*> ideas[] = {
      {fmt::format("curl {}/pid", url), "which worker answers?"},
      {fmt::format("kill -9 $(curl -s {}/pid)", url), "it is replaced at once"},
      {fmt::format("kill -TTIN {}", pid), "one worker more (TTOU: one fewer)"},
      {fmt::format("kill -HUP {}", pid), "every worker is renewed, no request is lost"},
      {fmt::format("{} scale 4{}", program, whereabouts(what.run)), "also: status, reload, stop"}};
  std::size_t width = 0;
  for (auto& idea : ideas)
    if (idea.first.size() < 48) width = std::max(width, idea.first.size());
  fmt::print("\n{} serves {}; its pid is {}. Try in another terminal:\n", self.name(), url, pid);
  for (auto& [command, effect] : ideas) fmt::print("  {:<{}}  # {}\n", command, width, effect);
  fmt::print("\n");
  std::fflush(stdout);
}

/// When there is something to try.
asio::awaitable<void> greet_when_ready(supervisor::supervisor& self, const run_request& what,
                                       const char* program, listener_list listeners) {
  auto web = self.pools().front();
  co_await web.settled();
  if (web.ready() > 0) greet(self, what, program, listeners);
}

/// The demo serves one listener, by its name.
std::optional<std::string> find_listener_fault(const run_request& what) {
  for (auto& listener : what.prefork.listeners)
    if (listener.name == "http" || !what.what.is_function()) return std::nullopt;
  return "the demo serves the listener named http; add -b http=ADDR, or a command after --";
}

int tell(const bad_configuration& wrong) {
  fmt::print(stderr, "{}\n", wrong.what());
  return exit_code::usage;
}

/// With everything that the machine has to have.
int check(const std::string& file) {
  auto wanted = load_configuration(file, inspect_here);
  configuration nothing;
  nothing.master.run = wanted.master.run;
  nothing.master.prefork.drain_delay = wanted.master.prefork.drain_delay;
  fmt::print("{} is right; it would run:\n{}", file, render(make_plan(nothing, wanted)));
  return exit_code::ok;
}

/// Whom to ask, and for what. The machine is the master's to look at.
control_request ask_about_file(control_request what) {
  auto wanted = load_configuration(what.file, inspect_alone);
  if (what.control.empty()) {
    auto& run = wanted.master.run;
    what.name = run.control.empty() ? run.name : std::string();
    what.control = run.control.empty() ? supervisor::default_control_path(run.name) : run.control;
  }
  auto body = json::parse(what.body).as_object();
  body["argument"] = std::filesystem::absolute(what.file).string();
  what.body = json::serialize(body);
  return what;
}

int ask_master(const control_request& what) {
  bool looks = is_look(what);
  bool unasked = looks && !what.timeout;  // for a time to wait
  try {
    bool stops = what.what == verb::stop;
    auto body = looks ? std::string() : what.body;
    auto timeout = unasked ? std::optional(status_patience) : what.timeout;
    auto got = ask(what.control, what.name, target_of(what), body, timeout, stops);
    if (got.status == 200 && looks)
      return what.what == verb::status ? show_status(what, got) : show_rollouts(what, got);
    return show_outcome(got);
  } catch (const no_answer& failure) {
    if (unasked && failure.code == exit_code::timed_out) {
      fmt::print(stderr, "prefork: the master at {} does not answer; is it stopped?\n",
                 what.control);
      return exit_code::unreachable;
    }
    fmt::print(stderr, "prefork: {}\n", failure.what());
    return failure.code;
  }
}

}  // namespace

int run(int argc, char** argv, const config_request& what) {
  try {
    auto wanted = load_configuration(what.file, inspect_here);
    what.override_master(wanted.master);
    auto how = wanted.master.run;
    fleet all(what.file, std::move(wanted), what.override_master);
    how.verbs = all.verbs();
    auto decide = [&all](supervisor::supervisor& self) { return all.run(self); };
    std::vector<supervisor::worker_function> functions;
    functions.push_back(demo());
    return supervisor::run(argc, argv, decide, std::move(functions), std::move(how));
  } catch (const bad_configuration& wrong) {
    return tell(wrong);
  }
}

int run(int argc, char** argv, run_request what) {
  auto fault = supervisor::find_fault(what.what);
  if (!fault) fault = find_listener_fault(what);
  if (fault) {
    fmt::print(stderr, "prefork: {}\n", *fault);
    return exit_code::usage;
  }
  if (auto missing = supervisor::find_missing(what.what, what.prefork.listeners)) {
    fmt::print(stderr, "prefork: {}\n", missing->text);
    return missing->denied ? exit_code::denied : exit_code::usage;
  }
  if (what.what.is_function())
    what.prefork.started = [&what, argv](supervisor::supervisor& self, const listener_list& all) {
      self.spawn(greet_when_ready(self, what, argv[0], all));
    };
  auto decide = [&what](supervisor::supervisor& self) {
    return supervisor::prefork(self, "web", what.what, what.prefork);
  };
  std::vector<supervisor::worker_function> functions;
  if (what.what.is_function()) functions.push_back(demo());
  return supervisor::run(argc, argv, decide, std::move(functions), what.run);
}

int control(const control_request& what) {
  if (what.what == verb::top) return top(what);
  try {
    if (what.what == verb::check) return check(what.file);
    return ask_master(what.file.empty() ? what : ask_about_file(what));
  } catch (const bad_configuration& wrong) {
    return tell(wrong);
  }
}

}  // namespace app
