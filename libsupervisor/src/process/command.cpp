#include "process/command.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "kernel/descriptors.hpp"
#include "kernel/error.hpp"
#include "kernel/find_program.hpp"
#include "kernel/limits.hpp"
#include "process/mold.hpp"

extern char** environ;

namespace supervisor {

namespace {

/// A mold's malloc on huge pages from the first touch on, for kernels before 6.1, on which
/// kernel::collapse_memory() does nothing. glibc 2.36 was seen to heed it only in some programs: in
/// none that is linked with -z now.
constexpr const char* mold_malloc = "GLIBC_TUNABLES=glibc.malloc.hugetlb=1";

/// What a supervisor of ours was told, and is not for its children.
constexpr std::string_view not_inherited[] = {"LISTEN_FDS",      "LISTEN_PID",     "LISTEN_FDNAMES",
                                              "NOTIFY_SOCKET",   "WATCHDOG_USEC",  "WATCHDOG_PID",
                                              "SUPERVISOR_MOLD", "SUPERVISOR_SLOT"};

/// Runs one step of the preparation; what the kernel refuses becomes a launch_failure.
template <typename Step>
auto prepare(const char* stage, const std::string& what, Step step) {
  try {
    return step();
  } catch (const boost::system::system_error& e) {
    throw launch_failure{{stage, e.code().value(), what}};
  }
}

std::string_view name_of(std::string_view entry) { return entry.substr(0, entry.find('=')); }

class variables {
 public:
  variables() {
    for (char** entry = environ; entry && *entry; ++entry)
      if (std::ranges::find(not_inherited, name_of(*entry)) == std::ranges::end(not_inherited))
        entries_.emplace_back(*entry);
  }
  void set(const std::string& name, const std::string& value) {
    std::erase_if(entries_, [&](auto& entry) { return name_of(entry) == name; });
    entries_.push_back(name + '=' + value);
  }
  void add(std::string entry) { entries_.push_back(std::move(entry)); }
  std::string get(std::string_view name) const {
    for (auto& entry : entries_)
      if (name_of(entry) == name) return entry.substr(name.size() + 1);
    return {};
  }
  std::vector<std::string> take() { return std::move(entries_); }

 private:
  std::vector<std::string> entries_;
};

constexpr int first_listener = 3;  // SD_LISTEN_FDS_START
constexpr std::string_view name_characters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

/// Replaces every {fd:NAME}; other braces are the program's own.
std::string fill_in(std::string text, const std::vector<std::pair<std::string, int>>& listeners) {
  constexpr std::string_view open = "{fd:";
  for (auto at = text.find(open); at != text.npos; at = text.find(open, at)) {
    auto start = at + open.size();
    auto close = std::min(text.find_first_not_of(name_characters, start), text.size());
    if (close == start || text[close] != '}') {
      at = close;
      continue;
    }
    auto name = text.substr(start, close - start);
    auto known = std::ranges::find(listeners, name, [](auto& each) { return each.first; });
    if (known == listeners.end()) throw launch_failure{{"listener", ENOENT, name}};
    auto number = std::to_string(first_listener + (known - listeners.begin()));
    text.replace(at, close + 1 - at, number);
    at += number.size();
  }
  return text;
}

/// Not for a program that is told by its arguments, and has stored nothing: gunicorn, told twice,
/// takes each socket twice, and closes it once too often.
void add_listeners(variables& environment, const command_surroundings& around) {
  std::string names;
  for (auto* part : {&around.listeners, &around.stored})
    for (auto& [name, fd] : *part) names += (names.empty() ? "" : ":") + name;
  auto count = around.listeners.size() + around.stored.size();
  if (count == 0) return;
  environment.add("LISTEN_FDS=" + std::to_string(count));
  environment.add("LISTEN_FDNAMES=" + names);
  environment.add(listen_pid_entry);
}

std::vector<std::pair<int, rlimit>> plan_limits(const spec& what, const rlimit& descriptors) {
  // The soft limit of descriptors is ours only: select(2) fails above 1024.
  std::vector<std::pair<int, rlimit>> limits{{RLIMIT_NOFILE, descriptors}};
  for (auto& each : what.limits) {
    auto number = kernel::limit_number(each.name);
    if (!number) throw launch_failure{{"limit", EINVAL, each.name}};
    limits.push_back({*number, {each.soft, each.hard}});
  }
  return limits;
}

}  // namespace

stdio open_stdio(const output& where) {
  switch (where.where) {
    case output::to::log:
      return prepare("stdio", "pipe", [] {
        auto both = kernel::make_output_pipe();
        return stdio{std::move(both.theirs), std::move(both.ours)};
      });
    case output::to::null:
      return prepare("stdio", "/dev/null", [] { return stdio{kernel::open_null(), {}}; });
    case output::to::file:
      return prepare("stdio", where.path,
                     [&] { return stdio{kernel::open_output_file(where.path), {}}; });
    case output::to::inherit:
      break;
  }
  return {};
}

kernel::credentials find_credentials(const spec& what) {
  return prepare("credentials", what.user + (what.group.empty() ? "" : ":" + what.group),
                 [&] { return kernel::look_up(what.user, what.group); });
}

kernel::pinned_program find_program(const spec& what) {
  variables environment;
  for (auto& [name, value] : what.environment) environment.set(name, value);
  auto path = prepare("exec", what.program,
                      [&] { return kernel::find_program(what.program, environment.get("PATH")); });
  return {std::move(path), what.directory};
}

launch_plan plan_command(const spec& what, const command_surroundings& around) {
  launch_plan plan;
  variables environment;
  for (auto& [name, value] : what.environment) environment.set(name, value);
  if (!around.notify_socket.empty()) environment.add("NOTIFY_SOCKET=" + around.notify_socket);
  if (around.slot) environment.add("SUPERVISOR_SLOT=" + std::to_string(*around.slot));
  for (auto& each : what.liveness)
    if (around.slot && each.how == probe::way::heartbeat)
      environment.set("WATCHDOG_USEC", std::to_string(each.timeout / std::chrono::microseconds(1)));
  plan.path = around.program ? around.program->path() : find_program(what).path();
  if (around.program) plan.program = around.program->instead();
  plan.arguments.push_back(what.program);
  for (auto& argument : what.arguments)
    plan.arguments.push_back(fill_in(argument, around.listeners));
  bool told = !std::equal(what.arguments.begin(), what.arguments.end(), plan.arguments.begin() + 1);
  if (!told || !around.stored.empty()) add_listeners(environment, around);
  plan.environment = environment.take();
  plan.descriptors = {around.in, around.out, around.err};
  for (auto* part : {&around.listeners, &around.stored})
    for (auto& [name, fd] : *part) plan.descriptors.push_back(fd);
  if (around.ready >= 0) {
    auto place = static_cast<std::size_t>(*what.ready_descriptor);
    if (place < plan.descriptors.size())
      throw launch_failure{{"ready", EEXIST, fmt::format("descriptor {} is a listener's", place)}};
    plan.descriptors.resize(place, -1);
    plan.descriptors.push_back(around.ready);
  }
  plan.directory = what.directory;
  plan.umask = what.umask;
  plan.limits = plan_limits(what, around.descriptors);
  plan.who = around.who;
  plan.no_new_privileges = what.no_new_privileges;
  return plan;
}

launch_plan plan_mold(int program, std::vector<std::string> arguments, int socket,
                      const rlimit& descriptors, bool ends_with_us) {
  launch_plan plan;
  plan.end_with_thread = ends_with_us;
  plan.program = program;
  plan.path = "mold";
  plan.arguments = std::move(arguments);
  variables environment;
  auto role = std::to_string(first_listener) + ':' + std::to_string(::getpid());
  environment.set(mold_variable, ends_with_us ? role : role + mold_outlives);
  environment.add(mold_malloc);
  plan.environment = environment.take();
  plan.descriptors = {0, 1, 2, socket};
  plan.limits = {{RLIMIT_NOFILE, descriptors}};
  return plan;
}

}  // namespace supervisor
