#include "options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <list>
#include <stdexcept>

#include "gate_options.hpp"
#include "scaling_words.hpp"
#include "settings.hpp"
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

/// A setting as the command line says it.
struct said {
  explicit said(const setting& w) : what(w), option("--" + std::string(w.name)) {}
  const setting& what;
  std::string option, text;
  strings texts;
  bool flag = false;
};

struct run_texts {
  std::string config;
  std::list<said> settings;  ///< CLI11 writes into them
  strings listeners;
};

/// One value an option: a list takes all that follow otherwise.
void add_setting(CLI::App& run, said& s) {
  auto names = s.what.letter ? fmt::format("-{},{}", s.what.letter, s.option) : s.option;
  bool repeatable = s.what.form == setting::shape::list || s.what.form == setting::shape::table;
  if (s.what.form == setting::shape::flag)
    run.add_flag(names, s.flag, s.what.help);
  else if (repeatable)
    run.add_option(names, s.texts, s.what.help)->type_name(s.what.type)->allow_extra_args(false);
  else
    run.add_option(names, s.text, s.what.help)
        ->type_name(s.what.type)
        ->take_last();  // so that a script's options can be overridden
}

void add_run_options(CLI::App& run, run_texts& t) {
  run.add_option("--config", t.config, "several pools, from this file; see: prefork check --help")
      ->type_name("FILE")
      ->take_last();
  run.add_option("-b,--bind", t.listeners,
                 "to listen on: host:port, [v6]:port, :port, unix:PATH or fd:N; with "
                 "',sharded' a TCP socket for each worker; repeatable (default "
                 "http=127.0.0.1:8080, or the sockets that systemd has passed)")
      ->type_name("[NAME=]ADDR")
      ->allow_extra_args(false);
  for (auto& s : settings())
    if (s.type) add_setting(run, t.settings.emplace_back(s));
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

std::vector<word> read_words(const CLI::App& run, run_texts& t, const strings& command) {
  std::vector<word> words;
  for (auto& each : command) words.emplace_back(find_setting("command"), "the command", each);
  for (auto& s : t.settings) {
    if (run.count(s.option) == 0) continue;
    if (s.what.form == setting::shape::flag) s.text = s.flag ? "true" : "false";
    if (s.texts.empty()) s.texts.push_back(s.text);
    for (auto& text : s.texts) words.emplace_back(s.what, s.option, text);
  }
  return words;
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

run_request read_run(const CLI::App& run, run_texts& t, const strings& command) {
  run_request result;
  result.run.name = "prefork";
  auto words = read_words(run, t, command);
  auto fault = [](const sup::spec& what) { return sup::find_fault(what); };
  auto objections = say(words, result, fault);
  if (!objections.empty()) complain(objections.front().text);
  auto scaling = scaling_of("--scale", result.scale, result.prefork.workers);
  result.prefork.workers = scaling.first;
  result.prefork.scale = std::move(scaling.run);
  if (t.listeners.empty()) result.prefork.listeners = sup::inherited_listeners();
  if (result.prefork.listeners.empty())
    result.prefork.listeners =
        read_listeners(t.listeners.empty() ? strings{"127.0.0.1:8080"} : t.listeners);
  check_placeholders(result.what, result.prefork.listeners);
  if (result.run.control.empty()) result.run.control = sup::default_control_path(result.run.name);
  return result;
}

/// What the file has for each pool cannot be said here.
config_request read_config(const CLI::App& run, run_texts& t, const strings& command) {
  auto words = read_words(run, t, command);
  for (auto& each : words)
    if (each.what->of != setting::subject::master)
      complain(fmt::format("{}: with --config, the file says that", each.called));
  if (!t.listeners.empty()) complain("--bind: with --config, the file says that");
  auto say_words = [words](run_request& master) {
    auto anything = [](const sup::spec&) { return std::optional<std::string>(); };
    auto objections = say(words, master, anything);
    if (!objections.empty()) complain(objections.front().text);
    if (master.run.control.empty()) master.run.control = sup::default_control_path(master.run.name);
  };
  run_request tried;
  say_words(tried);
  config_request result;
  result.file = t.config;
  result.override_master = say_words;
  return result;
}

// --- prefork status, scale, ...

struct control_texts {
  std::string name = "prefork", control, timeout, why, pool, output = "table", count, slot, signal,
              period, file, action, to;
  gate_texts gate;
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
    {"reload", verb::reload, "Replace all workers by fresh ones (new code on disk)",
     "  prefork reload\n  prefork reload --canary 1 --bake 30 --batch 4"},
    {"rollout", verb::rollout, "Look at the reload under way, pause, resume, abort or undo it",
     "  prefork rollout status\n  prefork rollout abort --why 'too many errors'\n"
     "  prefork rollout history\n  prefork rollout undo\n  prefork rollout undo --to 3"},
    {"restart", verb::restart, "Replace one worker by a fresh one", "  prefork restart 0"},
    {"signal", verb::signal, "Send a signal to one worker", "  prefork signal 0 USR1"},
    {"stop", verb::stop, "Stop the workers and the master",
     "  prefork stop\n  prefork stop --quick"},
    {"upgrade", verb::upgrade, "Replace the master's own program by what is on disk now",
     "  prefork upgrade\n  prefork upgrade --name shop --why 'release 2'"},
    {"check", verb::check, "Tell all that is wrong with a configuration, or what it would run",
     "  prefork check shop.toml"},
    {"plan", verb::plan, "Tell what an apply of a configuration would change",
     "  prefork plan shop.toml"},
    {"apply", verb::apply, "Change what differs from a configuration, and nothing else",
     "  prefork apply shop.toml\n  prefork apply shop.toml --why 'the new queue'"},
    {"top", verb::top, "Watch the workers at work; keys scale, restart and sort",
     "  prefork top\n  prefork top -d 5 --name shop"},
};

constexpr const char* exit_codes =
    "Exit codes: 0 ok, 1 failed, 2 usage, 3 not running, 4 no such pool or slot, 5 degraded,\n"
    "6 timed out, 7 unreachable, 8 denied, 9 rolled back, 10 conflict.\n";

void add_control_verb(CLI::App& app, const control_verb& v, control_texts& t) {
  auto& sub = *app.add_subcommand(v.name, v.help);
  bool of_file = v.what == verb::check || v.what == verb::plan || v.what == verb::apply;
  if (of_file) sub.add_option("file", t.file, "the configuration")->type_name("")->required();
  sub.footer(fmt::format("{}\nExamples:\n{}", exit_codes, v.examples));
  if (v.what == verb::check) return;
  auto add = [&](const char* name, std::string& value, const char* type, const char* help) {
    return sub.add_option(name, value, help)->type_name(type)->take_last();
  };
  add("--name", t.name, "NAME",
      of_file ? "of the master (default: as the file has it)" : "of the master (default prefork)");
  add("--control", t.control, "PATH", "of its control socket, instead of a name");
  if (v.what == verb::top)
    add("-d,--delay", t.period, "TIME", "between two looks (default 1)");
  else
    add("--timeout", t.timeout, "TIME", "how long to wait for the answer; exit 6 when it passes");
  bool looks = v.what == verb::status || v.what == verb::rollout;
  if (looks) add("-o,--output", t.output, "FORMAT", "table (default), wide or json");
  if (v.what != verb::status && v.what != verb::top)
    add("--why", t.why, "TEXT", "words for the log");
  auto place = [&](const char* name, std::string& value, const char* help) {
    sub.add_option(name, value, help)->type_name("")->required();
  };
  if (v.what == verb::scale) place("count", t.count, "N, +n or -n");
  if (v.what == verb::rollout) {
    place("action", t.action, "status, history, pause, resume, abort or undo");
    add("--to", t.to, "N", "undo: to this generation (default: the latest that is kept)");
  }
  if (v.what == verb::rollout || v.what == verb::reload) add_gate_options(sub, t.gate);
  if (v.what == verb::scale || v.what == verb::restart || v.what == verb::signal ||
      v.what == verb::rollout || v.what == verb::reload)
    add("--pool", t.pool, "NAME", "where there are several");
  if (v.what == verb::restart || v.what == verb::signal)
    place("slot", t.slot, "number of the slot: see prefork status");
  if (v.what == verb::signal) place("signal", t.signal, "such as USR1");
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

/// Which of a rollout's verbs it is, and what only undo takes.
void read_action(const control_texts& t, json::object& body, control_request& result) {
  constexpr std::string_view known[] = {"status", "history", "pause", "resume", "abort", "undo"};
  if (std::find(std::begin(known), std::end(known), t.action) == std::end(known))
    complain(fmt::format("rollout: \"{}\" is not status, history, pause, resume, abort or undo",
                         t.action));
  result.action = t.action;
  auto before = body.size();
  if (!t.to.empty()) {
    auto to = number_of<std::int64_t>(t.to);
    if (!to || *to < 1) complain(fmt::format("--to: \"{}\" is no generation", t.to));
    body["to"] = *to;
  }
  write_gate(t.gate, body);
  if (t.action != "undo" && body.size() > before)
    complain(fmt::format("rollout {}: {} is for undo", t.action,
                         t.to.empty() ? "how it is to go" : "--to"));
}

/// `named`: the name was given.
control_request read_control(verb what, const control_texts& t, bool named) {
  control_request result;
  result.what = what;
  result.file = t.file;
  if (t.control.empty()) result.name = name_of("--name", t.name);
  bool as_file = !t.file.empty() && !named && t.control.empty();
  if (!as_file) result.control = t.control.empty() ? sup::default_control_path(t.name) : t.control;
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
  if (what == verb::reload) write_gate(t.gate, body);
  if (what == verb::rollout) read_action(t, body, result);
  result.body = json::serialize(body);
  return result;
}

bool was_named(const CLI::App& app, const control_verb& v) {
  auto* option = app.get_subcommand(v.name)->get_option_no_throw("--name");
  return option && option->count() > 0;
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
  if (run.parsed() && !run_texts.config.empty()) return read_config(run, run_texts, command);
  if (run.parsed()) return read_run(run, run_texts, command);
  for (auto& v : control_verbs)
    if (app.got_subcommand(v.name)) return read_control(v.what, control_texts, was_named(app, v));
  complain("a command is missing, such as run, status, scale, reload, rollout, apply, stop or top");
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
             "  prefork run --config shop.toml\n"
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
