#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "kernel/credentials.hpp"
#include "kernel/error.hpp"
#include "kernel/find_program.hpp"
#include "kernel/reuseport.hpp"
#include "supervisor/spec.hpp"

namespace supervisor {

namespace {

using found = std::optional<missing>;
using boost::system::system_error;

std::string search_path(const spec& what) {
  for (auto it = what.environment.rbegin(); it != what.environment.rend(); ++it)
    if (it->first == "PATH") return it->second;
  const char* ours = std::getenv("PATH");
  return ours ? ours : "/usr/local/bin:/usr/bin:/bin";
}

found look_for_program(const spec& what) {
  if (what.program.empty()) return {};
  std::string path;
  try {
    path = kernel::find_program(what.program, search_path(what));
  } catch (const system_error& error) {
    if (error.code() == boost::system::errc::permission_denied)
      return missing{fmt::format("the command '{}' found in PATH is not executable; see: chmod +x",
                                 what.program)};
    return missing{fmt::format("there is no command '{}' in PATH; give its path, or correct PATH",
                               what.program)};
  }
  struct stat info;
  if (::stat(path.c_str(), &info) != 0)
    return missing{fmt::format("the command '{}': {}", path, std::strerror(errno))};
  if (!S_ISREG(info.st_mode)) return missing{fmt::format("the command '{}' is not a file", path)};
  if (::access(path.c_str(), X_OK) != 0)
    return missing{fmt::format("the command '{}' is not executable; see: chmod +x", path)};
  return {};
}

found look_for_user(const spec& what) {
  if (what.user.empty() && what.group.empty()) return {};
  try {
    auto who = kernel::look_up(what.user, what.group);
    bool changes =
        (who.user && *who.user != ::geteuid()) || (who.group && *who.group != ::getegid());
    if (changes && ::geteuid() != 0)
      return missing{fmt::format("only root may run workers as another {} ('{}'); run as root, or "
                                 "as that {} without it",
                                 what.user.empty() ? "group" : "user",
                                 what.user.empty() ? what.group : what.user,
                                 what.user.empty() ? "group" : "user"),
                     true};
  } catch (const system_error& error) {
    std::string words = error.what();
    return missing{words.substr(0, words.find(": ")) +
                   "; known ones are told by: getent passwd, getent group"};
  }
  return {};
}

found look_for_directory(const spec& what) {
  struct stat info;
  if (what.directory.empty()) return {};
  if (::stat(what.directory.c_str(), &info) != 0)
    return missing{fmt::format("the directory '{}': {}", what.directory, std::strerror(errno))};
  if (!S_ISDIR(info.st_mode))
    return missing{fmt::format("'{}' is not a directory", what.directory)};
  return {};
}

/// What waits for one of several commands can be given to no other.
found look_for_shards(const spec& what, std::span<const listener_spec> listeners) {
  if (what.is_function() || kernel::moves_to_others()) return {};
  for (auto& each : listeners) {
    bool has = !what.listeners || std::ranges::count(*what.listeners, each.name);
    if (has && each.sharded)
      return missing{
          fmt::format("the listener {} is sharded, which for a command needs the "
                      "kernel's net.ipv4.tcp_migrate_req=1 (see: sysctl -w); or leave "
                      "',sharded' out",
                      each.name)};
  }
  return {};
}

}  // namespace

std::optional<missing> find_missing(const spec& what, std::span<const listener_spec> listeners) {
  auto first = look_for_program(what);
  if (!first) first = look_for_user(what);
  if (!first) first = look_for_directory(what);
  if (!first) first = look_for_shards(what, listeners);
  return first;
}

}  // namespace supervisor
