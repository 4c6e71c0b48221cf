#include "supervisor/spec.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "host/host.hpp"

namespace supervisor {

namespace {

using fault = std::optional<std::string>;

/// exec(2), setenv(3) and open(2) end a string at its first NUL: what follows would be lost
/// silently.
bool has_nul(std::string_view text) { return text.find('\0') != text.npos; }

fault find_in_program(const spec& s) {
  if (s.function.empty() && s.program.empty())
    return "it names neither a worker function nor a program";
  if (!s.function.empty() && !s.program.empty())
    return fmt::format("it names a function ('{}') and a program ('{}'); give one", s.function,
                       s.program);
  if (s.is_function() && !s.arguments.empty())
    return fmt::format("the worker function '{}' takes no arguments; they are for programs",
                       s.function);
  if (has_nul(s.function) || has_nul(s.program)) return "a NUL character in its name";
  for (auto& argument : s.arguments)
    if (has_nul(argument)) return fmt::format("a NUL character in argument '{}'", argument.c_str());
  return {};
}

fault find_in_environment(const spec& s) {
  static constexpr std::array<std::string_view, 5> ours{
      "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "SUPERVISOR_SLOT"};
  for (auto& [name, value] : s.environment) {
    if (name.empty()) return "an environment variable without a name";
    if (name.find('=') != name.npos)
      return fmt::format("environment variable '{}': a name cannot contain '='", name);
    if (has_nul(name) || has_nul(value))
      return fmt::format("environment variable '{}': a NUL character", name.c_str());
    if (std::ranges::find(ours, name) != ours.end())
      return fmt::format("environment variable '{}' is set by the supervisor", name);
  }
  return {};
}

fault find_in_output(std::string_view stream, const output& o) {
  bool file = o.where == output::to::file;
  if (file && o.path.empty()) return fmt::format("{} goes to a file, but no path is given", stream);
  if (!file && !o.path.empty())
    return fmt::format("{} has the path '{}' but does not go to a file", stream, o.path);
  if (has_nul(o.path)) return fmt::format("a NUL character in the path of {}", stream);
  return {};
}

fault find_in_limits(const spec& s) {
  static constexpr std::array<std::string_view, 9> known{
      "nofile", "nproc", "core", "as", "cpu", "data", "fsize", "memlock", "stack"};
  std::set<std::string_view> seen;
  for (auto& l : s.limits) {
    if (std::ranges::find(known, l.name) == known.end())
      return fmt::format("unknown limit '{}'; known are {}", l.name, fmt::join(known, ", "));
    if (l.soft > l.hard)
      return fmt::format("limit {}: soft {} is above hard {}", l.name, l.soft, l.hard);
    if (!seen.insert(l.name).second) return fmt::format("limit {} is given twice", l.name);
  }
  return {};
}

fault find_in_listeners(const spec& s) {
  std::set<std::string_view> seen;
  if (!s.listeners) return {};  // all the supervisor has, which are not known here
  for (auto& name : *s.listeners) {
    if (name.empty()) return "a listener without a name";
    if (!seen.insert(name).second) return fmt::format("listener '{}' is given twice", name);
  }
  for (std::string_view argument : s.arguments)
    for (auto at = argument.find("{fd:"); at != argument.npos; at = argument.find("{fd:", at + 1)) {
      auto end = argument.find('}', at);
      if (end == argument.npos) break;
      auto name = argument.substr(at + 4, end - at - 4);
      if (!seen.contains(name))
        return fmt::format("argument '{}' uses listener '{}', which the workers do not get",
                           argument, name);
    }
  return {};
}

fault find_in_timing(const spec& s) {
  if (s.alive_for < duration{}) return "alive_for is negative";
  if (s.boot_timeout <= duration{}) return "boot_timeout must be more than zero";
  bool by_time =
      s.ready == readiness::alive || (s.ready == readiness::automatic && !s.is_function());
  if (by_time && s.alive_for >= s.boot_timeout)
    return "alive_for is not shorter than boot_timeout: no worker could get ready";
  bool by_newline = s.ready == readiness::newline;
  if (by_newline != s.ready_descriptor.has_value())
    return by_newline ? "readiness::newline needs a ready_descriptor"
                      : "ready_descriptor needs readiness::newline";
  if (by_newline && s.is_function())
    return "readiness::newline is for commands: a function worker says ready()";
  if (by_newline && (*s.ready_descriptor < 3 || *s.ready_descriptor > 255))
    return "ready_descriptor is not between 3 and 255";
  if (s.hang_timeout < duration{}) return "hang_timeout is negative";
  if (s.hang_timeout > duration{} && !s.is_function())
    return "hang_timeout is for function workers: a program cannot be asked for a sign of life";
  if (s.request_timeout < duration{}) return "request_timeout is negative";
  if (s.request_timeout > duration{} && !s.is_function())
    return "request_timeout is for function workers: a program does not tell of its requests";
  for (auto& step : s.stop) {
    if (step.signal < 1 || step.signal > SIGRTMAX)
      return fmt::format("stop ladder: there is no signal {}", step.signal);
    if (step.wait < duration{}) return "stop ladder: a wait is negative";
  }
  return {};
}

constexpr std::array<std::string_view, 4> need_names{"started", "ready", "healthy", "completed"};

fault find_in_needs(const spec& s) {
  for (auto& needed : s.needs)
    if (needed.pool.empty()) return "it needs a pool without a name";
  return {};
}

fault find_in_starts(const start_rate& r) {
  if (r.per_second >= 0.001) return {};
  return "starts: per_second is below 0.001: the next start would never come";
}

fault find_in_recycle(const spec& s) {
  auto& r = s.recycle;
  if (r.max_requests && !s.is_function())
    return "recycle: max_requests is for function workers: a program does not tell of its "
           "requests; it may send X_RECYCLE=1 instead";
  if (r.max_age < duration{}) return "recycle: max_age is negative";
  if (!(r.jitter >= 0 && r.jitter <= 1)) return "recycle: jitter is not between 0 and 1";
  if (r.max_memory && r.sampling <= duration{}) return "recycle: sampling must be more than zero";
  if (r.at_once == 0) return "recycle: at_once is zero: no worker would ever be replaced";
  return {};
}

fault find_in_probes(const spec& s) {
  bool waits = s.ready == readiness::probe;
  if (waits != s.ready_probe.has_value())
    return waits ? "readiness::probe needs a ready_probe" : "ready_probe needs readiness::probe";
  fault first = waits ? find_fault(*s.ready_probe) : fault();
  auto in_log = [](const probe& p) { return p.how == probe::way::log_line; };
  bool reads = waits && in_log(*s.ready_probe);
  for (auto& each : s.liveness) {
    if (!first) first = find_fault(each);
    reads |= in_log(each);
  }
  if (first || !reads || s.out.where == output::to::log || s.err.where == output::to::log)
    return first;
  return "a probe waits for a line in the log, but stdout and stderr do not go there";
}

fault find_in_restart(const restart_policy& p) {
  if (p.base < duration{}) return "restart: base is negative";
  if (p.cap < p.base) return "restart: cap is less than base";
  if (!(p.jitter >= 0 && p.jitter <= 1)) return "restart: jitter is not between 0 and 1";
  if (p.healthy_after < duration{}) return "restart: healthy_after is negative";
  if (p.intensity && p.period <= duration{})
    return "restart: the intensity's period is not positive";
  if (p.intensity && p.then == restart_end::half_open && p.trial_every <= duration{})
    return "restart: half_open without a time between two trials";
  for (auto& rule : p.rules)
    if (auto first = find_in_restart(rule.answer)) return first;
  return {};
}

}  // namespace

std::string_view to_string(need what) noexcept {
  auto index = static_cast<std::size_t>(what);
  return index < need_names.size() ? need_names[index] : "unknown";
}

std::optional<need> parse_need(std::string_view name) noexcept {
  auto known = std::ranges::find(need_names, name);
  if (known == need_names.end()) return std::nullopt;
  return static_cast<need>(known - need_names.begin());
}

spec::spec(std::string function_name) : function(std::move(function_name)), stop(1) {}

bool spec::operator==(const spec&) const = default;

spec& spec::arg(std::string value) & {
  arguments.push_back(std::move(value));
  return *this;
}

spec& spec::after(std::string pool, need what) & {
  needs.emplace_back(std::move(pool), what);
  return *this;
}

spec spec::command(std::string program, std::vector<std::string> arguments) {
  spec s{std::string()};
  s.program = std::move(program);
  s.arguments = std::move(arguments);
  return s;
}

spec& spec::env(std::string name, std::string value) & {
  environment.emplace_back(std::move(name), std::move(value));
  return *this;
}

std::optional<std::string> find_fault(const spec& s) {
  if (s.umask && *s.umask > 0777) return fmt::format("umask {:o} is above 777", *s.umask);
  if (has_nul(s.directory) || has_nul(s.user) || has_nul(s.group))
    return "a NUL character in directory, user or group";
  if (s.fd_store_max > most_stored) return fmt::format("fd_store_max is more than {}", most_stored);
  fault first = find_in_program(s);
  if (!first) first = find_in_environment(s);
  if (!first) first = find_in_output("stdout", s.out);
  if (!first) first = find_in_output("stderr", s.err);
  if (!first) first = find_in_limits(s);
  if (!first) first = find_in_listeners(s);
  if (!first) first = find_in_timing(s);
  if (!first) first = find_in_restart(s.restart);
  if (!first) first = find_in_starts(s.starts);
  if (!first) first = find_in_recycle(s);
  if (!first) first = find_in_probes(s);
  if (!first) first = find_in_needs(s);
  return first;
}

std::optional<std::string> find_fault(const spec& what, const host& outside) {
  auto known = find_fault(what);
  if (known || !what.is_function() || outside.makes_functions()) return known;
  return fmt::format(
      "the worker function '{}' would be forked from a mold, which is for programs "
      "that are supervisors from main() on: give it to supervisor::main or "
      "supervisor::run; a supervisor inside another program keeps commands only, "
      "spec::command()",
      what.function);
}

}  // namespace supervisor
