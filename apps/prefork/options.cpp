#include "options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <filesystem>
#include <stdexcept>

#include "restart_words.hpp"
#include "supervisor/errc.hpp"
#include "supervisor/version.hpp"
#include "values.hpp"

namespace app {

namespace {

namespace sup = supervisor;
namespace json = boost::json;
using strings = std::vector<std::string>;
using verb = control_request::verb;

// --- prefork run

struct run_texts {
  std::string workers = "2", name = "prefork", graceful, boot, hang, overdue, drain, stop_signal,
              user, group, umask, directory, ready, starts, control, pidfile, level = "info",
              format = "text", file;
  strings listeners, environment, limits, restart;
};

void add_run_options(CLI::App& run, run_texts& t) {
  // One value an option: a list takes all that follow otherwise.
  auto add = [&](const char* name, auto& value, const char* type, const char* help) {
    auto* option = run.add_option(name, value, help)->type_name(type)->allow_extra_args(false);
    if constexpr (std::is_same_v<decltype(value), std::string&>)
      option->take_last();  // so that a script's options can be overridden
  };
  add("-w,--workers", t.workers, "N", "how many workers; auto: one a CPU (default 2)");
  add("-b,--bind", t.listeners, "[NAME=]ADDR",
      "to listen on: host:port, [v6]:port, :port, unix:PATH or fd:N; "
      "repeatable (default http=127.0.0.1:8080)");
  add("--name", t.name, "NAME", "of this master (default prefork)");
  add("--graceful-timeout", t.graceful, "TIME",
      "how long a worker may finish what it has in flight before KILL (default 30)");
  add("--boot-timeout", t.boot, "TIME", "how long a worker may take to be ready (default 60)");
  add("--timeout", t.hang, "TIME",
      "end a worker of the demo whose event loop does not answer (default 0: never)");
  add("--request-timeout", t.overdue, "TIME",
      "end a worker of the demo one of whose requests does not end (default 0: never)");
  add("--drain-delay", t.drain, "TIME", "after TERM, serve on for this long (default 0)");
  add("--stop-signal", t.stop_signal, "SIG", "tells a worker to leave (default TERM)");
  add("--user", t.user, "USER", "workers run as this user, by name or number");
  add("--group", t.group, "GROUP", "and this group");
  add("--umask", t.umask, "MASK", "workers' umask, octal");
  add("--chdir", t.directory, "DIR", "workers' directory");
  add("--env", t.environment, "K=V", "for the workers; repeatable");
  add("--limit", t.limits, "NAME=SOFT[:HARD]",
      "for the workers, such as nofile=4096 or core=unlimited; repeatable");
  add("--ready", t.ready, "WHEN",
      "when a worker counts as ready: notify (it sent READY=1), alive[:TIME] (it has lived for "
      "that), auto (whichever comes first; default)");
  add("--restart", t.restart, "[CAUSES:]WORDS",
      "when a worker that is gone is started again, such as transient,give-up=5/60s; with causes, "
      "after those; repeatable: see doc/restart.md (default: for ever, backing off)");
  add("--start-rate", t.starts, "N[/BURST]",
      "start at most so many workers a second (default 100), and at once");
  add("--control", t.control, "PATH",
      "the control socket (default: by name, in $XDG_RUNTIME_DIR/prefork or /run/prefork)");
  add("--pidfile", t.pidfile, "PATH", "write the main pid there while running");
  add("--log-level", t.level, "LEVEL", "debug, info, notice, warning or error (default info)");
  add("--log-format", t.format, "FORMAT", "text (default) or json");
  add("--log-file", t.file, "PATH", "instead of stderr; reopened on USR1");
  run.footer(
      "After -- comes a command, run instead of the bundled demo. Its sockets are told by "
      "LISTEN_FDS,\nand {fd:NAME} in an argument becomes the number of that listener.\n"
      "A TIME is in seconds, or 500ms, 1.5s, 2m, 1h.\n"
      "\nExamples:\n"
      "  prefork run -w 4\n"
      "  prefork run -b :8000 -- gunicorn --workers 1 --bind fd://{fd:http} app:app\n"
      "  prefork run -w auto -b unix:/run/app.sock --user www-data -- ./server\n"
      "  prefork run --stop-signal QUIT -- nginx -g 'daemon off;'");
}

void read_readiness(const std::string& text, sup::spec& what) {
  if (text.empty() || text == "auto") return;
  if (text == "notify") {
    what.ready = sup::readiness::notify;
  } else if (text == "alive" || text.rfind("alive:", 0) == 0) {
    what.ready = sup::readiness::alive;
    if (text.size() > 5) what.alive_for = duration_of("--ready", text.substr(6));
  } else {
    complain(fmt::format("--ready: \"{}\" is not auto, notify, alive or alive:SECONDS", text));
  }
}

void read_environment(const strings& pairs, sup::spec& what) {
  for (auto& pair : pairs) {
    auto equals = pair.find('=');
    if (equals == pair.npos || equals == 0)
      complain(fmt::format("--env: \"{}\" is not NAME=VALUE", pair));
    what.env(pair.substr(0, equals), pair.substr(equals + 1));
  }
}

void read_spec(const run_texts& t, sup::spec& what) {
  read_readiness(t.ready, what);
  read_environment(t.environment, what);
  for (auto& text : t.limits) what.limits.push_back(limit_of(text));
  what.user = t.user;
  what.group = t.group;
  what.directory = t.directory;
  if (!t.umask.empty()) {
    auto mask = number_of<mode_t>(t.umask, 8);
    if (!mask || *mask > 0777)
      complain(fmt::format("--umask: \"{}\" is not octal, such as 027", t.umask));
    what.umask = *mask;
  }
  if (!t.boot.empty()) what.boot_timeout = duration_of("--boot-timeout", t.boot);
  if (!t.hang.empty()) what.hang_timeout = duration_of("--timeout", t.hang);
  if (what.hang_timeout > sup::duration{} && !what.is_function())
    complain("--timeout: a command cannot be asked for a sign of life; leave it out");
  if (!t.overdue.empty()) what.request_timeout = duration_of("--request-timeout", t.overdue);
  if (what.request_timeout > sup::duration{} && !what.is_function())
    complain("--request-timeout: a command does not tell of its requests; leave it out");
  if (!t.restart.empty()) what.restart = restart_of("--restart", t.restart);
  if (!t.starts.empty()) what.starts = start_rate_of("--start-rate", t.starts);
  auto& first = what.stop.front();
  if (!t.graceful.empty()) first.wait = duration_of("--graceful-timeout", t.graceful);
  if (!t.stop_signal.empty()) first.signal = signal_of("--stop-signal", t.stop_signal);
}

void read_log(const run_texts& t, sup::log_options& log) {
  auto level = sup::parse_severity(t.level);
  if (!level)
    complain(
        fmt::format("--log-level: \"{}\" is not debug, info, notice, warning or error", t.level));
  log.level = *level;
  if (t.format != "text" && t.format != "json")
    complain(fmt::format("--log-format: \"{}\" is neither text nor json", t.format));
  log.json = t.format == "json";
  log.file = t.file;
}

/// The first listener without a name is "http"; a later one has to say who it is.
std::vector<sup::listener_spec> read_listeners(const strings& texts) {
  std::vector<sup::listener_spec> all;
  auto named = [&](std::string_view name) {
    return std::any_of(all.begin(), all.end(), [&](auto& other) { return other.name == name; });
  };
  for (auto& text : texts) {
    auto listener = sup::listener_spec::parse(text, named("http") ? "" : "http");
    if (listener.name.empty())
      complain(fmt::format("--bind: \"{}\" needs a name of its own: NAME={}", text, text));
    if (named(listener.name))
      complain(fmt::format("--bind: two listeners are named {}", listener.name));
    all.push_back(std::move(listener));
  }
  return all;
}

constexpr const char* name_characters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

/// Every {fd:NAME} is one of the listeners.
void check_placeholders(const sup::spec& what, const std::vector<sup::listener_spec>& listeners) {
  for (auto& argument : what.arguments) {
    auto start = argument.find("{fd:");
    if (start == argument.npos) continue;
    auto end = argument.find_first_not_of(name_characters, start + 4);
    if (end == argument.npos || argument[end] != '}') continue;  // the program's own braces
    auto name = argument.substr(start + 4, end - start - 4);
    if (std::none_of(listeners.begin(), listeners.end(),
                     [&](auto& listener) { return listener.name == name; }))
      complain(fmt::format("argument \"{}\": no listener is named {}; add -b {}=ADDR", argument,
                           name, name));
  }
}

run_request read_run(const run_texts& t, strings command) {
  run_request result;
  if (!command.empty()) {
    auto program = std::move(command.front());
    command.erase(command.begin());
    result.what = sup::spec::command(std::move(program), std::move(command));
  }
  read_spec(t, result.what);
  result.prefork.workers = workers_of(t.workers);
  result.prefork.listeners =
      read_listeners(t.listeners.empty() ? strings{"127.0.0.1:8080"} : t.listeners);
  check_placeholders(result.what, result.prefork.listeners);
  if (!t.drain.empty()) result.prefork.drain_delay = duration_of("--drain-delay", t.drain);
  result.run.name = name_of(t.name);
  result.run.control = t.control.empty() ? sup::default_control_path(t.name) : t.control;
  result.run.pidfile = t.pidfile;
  read_log(t, result.run.log);
  return result;
}

// --- prefork status, scale, ...

struct control_texts {
  std::string name = "prefork", control, timeout, why, pool, output = "table", count, slot, signal,
              period;
  bool quick = false;
};

struct control_verb {
  const char* name;
  verb what;
  const char* help;
  const char* examples;
};
constexpr control_verb control_verbs[] = {
    {"status", verb::status, "Show the workers; exit 5 where not every one is ready",
     "  prefork status\n  prefork status -o json --name shop"},
    {"scale", verb::scale, "Keep N workers from now on, or n more, or n fewer",
     "  prefork scale 4\n  prefork scale +2\n  prefork scale -1 --why 'the night'"},
    {"reload", verb::reload, "Replace all workers, one by one, by fresh ones (new code on disk)",
     "  prefork reload"},
    {"restart", verb::restart, "Replace one worker by a fresh one", "  prefork restart 0"},
    {"signal", verb::signal, "Send a signal to one worker", "  prefork signal 0 USR1"},
    {"stop", verb::stop, "Stop the workers and the master",
     "  prefork stop\n  prefork stop --quick"},
    {"top", verb::top, "Watch the workers at work; keys scale, restart and sort",
     "  prefork top\n  prefork top -d 5 --name shop"},
};

constexpr const char* exit_codes =
    "Exit codes: 0 ok, 1 failed, 2 usage, 3 not running, 4 no such pool or slot, 5 degraded,\n"
    "6 timed out, 7 unreachable, 8 denied, 9 rolled back, 10 conflict.\n";

void add_control_verb(CLI::App& app, const control_verb& v, control_texts& t) {
  auto& sub = *app.add_subcommand(v.name, v.help);
  auto add = [&](const char* name, std::string& value, const char* type, const char* help) {
    return sub.add_option(name, value, help)->type_name(type)->take_last();
  };
  add("--name", t.name, "NAME", "of the master (default prefork)");
  add("--control", t.control, "PATH", "of its control socket, instead of a name");
  if (v.what == verb::top)
    add("-d,--delay", t.period, "TIME", "between two looks (default 1)");
  else
    add("--timeout", t.timeout, "TIME", "how long to wait for the answer; exit 6 when it passes");
  if (v.what == verb::status)
    add("-o,--output", t.output, "FORMAT", "table (default), wide or json");
  else if (v.what != verb::top)
    add("--why", t.why, "TEXT", "words for the log");
  auto place = [&](const char* name, std::string& value, const char* help) {
    sub.add_option(name, value, help)->type_name("")->required();
  };
  if (v.what == verb::scale) place("count", t.count, "N, +n or -n");
  if (v.what == verb::scale || v.what == verb::restart || v.what == verb::signal)
    add("--pool", t.pool, "NAME", "where there are several");
  if (v.what == verb::restart || v.what == verb::signal)
    place("slot", t.slot, "number of the slot: see prefork status");
  if (v.what == verb::signal) place("signal", t.signal, "such as USR1");
  sub.footer(fmt::format("{}\nExamples:\n{}", exit_codes, v.examples));
  if (v.what == verb::stop)
    sub.add_flag("--quick", t.quick, "give workers a second, not the graceful timeout");
}

void read_count(const std::string& text, json::object& body) {
  bool relative = !text.empty() && (text.front() == '+' || text.front() == '-');
  auto digits = std::string_view(text).substr(relative ? 1 : 0);
  auto count = number_of<std::uint32_t>(digits);
  if (!count || *count > sup::most_workers || (!relative && *count < 1))
    complain(fmt::format("scale: \"{}\" is not N, +n or -n, with N from 1 to {}", text,
                         sup::most_workers));
  auto value = static_cast<std::int64_t>(*count);
  body[relative ? "delta" : "count"] = text.front() == '-' ? -value : value;
}

control_request read_control(verb what, const control_texts& t) {
  control_request result;
  result.what = what;
  if (t.control.empty()) result.name = name_of(t.name);
  result.control = t.control.empty() ? sup::default_control_path(t.name) : t.control;
  if (!t.timeout.empty()) result.timeout = duration_of("--timeout", t.timeout);
  if (!t.period.empty()) result.period = duration_of("--delay", t.period);
  if (result.period < std::chrono::milliseconds(100))
    complain("--delay: a master has better to do than to be asked more than ten times a second");
  if (t.output == "wide")
    result.output = control_request::format::wide;
  else if (t.output == "json")
    result.output = control_request::format::json;
  else if (t.output != "table")
    complain(fmt::format("--output: \"{}\" is not table, wide or json", t.output));

  json::object body;
  if (!t.why.empty()) body["why"] = t.why;
  if (!t.pool.empty()) body["pool"] = t.pool;
  if (what == verb::scale) read_count(t.count, body);
  if (what == verb::restart || what == verb::signal) body["slot"] = slot_of(t.slot);
  if (what == verb::signal) body["signal"] = sup::signal_name(signal_of("signal", t.signal));
  if (what == verb::stop) body["quick"] = t.quick;
  result.body = json::serialize(body);
  return result;
}

/// Everything after the first "--" is the command's, whatever it looks like.
strings split_command(strings& arguments) {
  auto mark = std::find(arguments.begin(), arguments.end(), "--");
  if (mark == arguments.end()) return {};
  strings command(mark + 1, arguments.end());
  arguments.erase(mark, arguments.end());
  if (command.empty()) complain("after -- comes a command");
  return command;
}

/// CLI11 takes "-1" for an option unless it comes after "--".
void protect_negative(strings& arguments) {
  if (std::find(arguments.begin(), arguments.end(), "--") != arguments.end()) return;
  auto negative = [](const std::string& a) {
    return a.size() > 1 && a[0] == '-' && std::isdigit(static_cast<unsigned char>(a[1]));
  };
  auto it = std::find_if(arguments.begin(), arguments.end(), negative);
  if (it == arguments.end()) return;
  auto value = std::move(*it);
  arguments.erase(it);
  arguments.insert(arguments.end(), {"--", std::move(value)});
}

[[noreturn]] void tell_of_extra(const strings& extra, bool is_run) {
  bool option = extra.front().front() == '-';
  complain(fmt::format("{} \"{}\"{}", option ? "there is no option" : "nothing is known of",
                       extra.front(),
                       is_run && !option ? "; a command to run comes after --" : ""));
}

request parse_with(CLI::App& app, strings arguments) {
  run_texts run_texts;
  control_texts control_texts;
  auto& run = *app.add_subcommand("run", "Keep a pool of workers: the demo, or any command");
  add_run_options(run, run_texts);
  for (auto& v : control_verbs) add_control_verb(app, v, control_texts);

  if (!arguments.empty() && arguments.front().rfind('-', 0) != 0) {
    auto meant = [&](CLI::App* sub) { return sub->get_name() == arguments.front(); };
    if (app.get_subcommands(meant).empty())
      complain(fmt::format("there is no command \"{}\"", arguments.front()));
  }
  strings command;
  bool is_run = !arguments.empty() && arguments.front() == "run";
  if (is_run)
    command = split_command(arguments);
  else
    protect_negative(arguments);
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants a vector
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ExtrasError&) {
    tell_of_extra(app.remaining(true), is_run);
  } catch (const CLI::ArgumentMismatch& error) {
    std::string words = error.what();  // "--name: 1 required TEXT missing"
    complain(words.substr(0, words.find(':')) + ": a value is missing");
  }
  if (run.parsed()) return read_run(run_texts, std::move(command));
  for (auto& v : control_verbs)
    if (app.got_subcommand(v.name)) return read_control(v.what, control_texts);
  complain("a command is missing: run, status, scale, reload, restart, signal, stop or top");
}

/// "run ", or nothing where there is no such verb.
std::string verb_of(const strings& arguments) {
  if (arguments.empty()) return {};
  auto named = [&](auto& v) { return arguments.front() == v.name; };
  bool known = arguments.front() == "run" ||
               std::any_of(std::begin(control_verbs), std::end(control_verbs), named);
  return known ? arguments.front() + ' ' : std::string();
}

}  // namespace

request parse(strings arguments) {
  CLI::App app("Keeps a pool of worker processes on shared listening sockets.", "prefork");
  app.set_version_flag("--version", "prefork " SUPERVISOR_VERSION);
  app.footer(std::string(exit_codes) +
             "\nExamples:\n"
             "  prefork run                        the demo, on 127.0.0.1:8080\n"
             "  prefork run -w 4 -b :80 -- ./server --fd {fd:http}\n"
             "  prefork status\n"
             "  prefork scale +1\n"
             "  prefork reload\n"
             "  prefork top\n"
             "  prefork stop");
  auto mistake = [&, verb = verb_of(arguments)](const std::string& words) {
    bool shown = words.find("; see: ") != words.npos;
    auto way_out = shown ? "" : fmt::format("; see: prefork {}--help", verb);
    return message(supervisor::exit_code::usage, fmt::format("prefork: {}{}\n", words, way_out));
  };
  try {
    return parse_with(app, std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    return message(supervisor::exit_code::ok, app.help());
  } catch (const CLI::CallForVersion& version) {
    return message(supervisor::exit_code::ok, std::string(version.what()) + '\n');
  } catch (const CLI::ParseError& error) {
    return mistake(error.what());
  } catch (const std::invalid_argument& error) {
    return mistake(error.what());
  }
}

}  // namespace app
