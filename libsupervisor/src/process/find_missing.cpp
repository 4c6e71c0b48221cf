#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "kernel/credentials.hpp"
#include "kernel/error.hpp"
#include "kernel/find_program.hpp"
#include "supervisor/spec.hpp"

namespace supervisor {

namespace {

using missing = std::optional<std::string>;
using boost::system::system_error;

std::string search_path(const spec& what) {
  for (auto it = what.environment.rbegin(); it != what.environment.rend(); ++it)
    if (it->first == "PATH") return it->second;
  const char* ours = std::getenv("PATH");
  return ours ? ours : "/usr/local/bin:/usr/bin:/bin";
}

missing look_for_program(const spec& what) {
  if (what.program.empty()) return {};
  std::string path;
  try {
    path = kernel::find_program(what.program, search_path(what));
  } catch (const system_error& error) {
    if (error.code() == boost::system::errc::permission_denied)
      return fmt::format("the command '{}' found in PATH is not executable", what.program);
    return fmt::format("there is no command '{}' in PATH; give its path, or correct PATH",
                       what.program);
  }
  struct stat info;
  if (::stat(path.c_str(), &info) != 0)
    return fmt::format("the command '{}': {}", path, std::strerror(errno));
  if (!S_ISREG(info.st_mode)) return fmt::format("the command '{}' is not a file", path);
  if (::access(path.c_str(), X_OK) != 0)
    return fmt::format("the command '{}' is not executable; see: chmod +x", path);
  return {};
}

missing look_for_user(const spec& what) {
  if (what.user.empty() && what.group.empty()) return {};
  try {
    auto who = kernel::look_up(what.user, what.group);
    bool changes =
        (who.user && *who.user != ::geteuid()) || (who.group && *who.group != ::getegid());
    if (changes && ::geteuid() != 0)
      return fmt::format("only root may run workers as another user ('{}') or group ('{}')",
                         what.user, what.group);
  } catch (const system_error& error) {
    std::string words = error.what();
    return words.substr(0, words.find(": ")) +
           "; known ones are told by: getent passwd, getent group";
  }
  return {};
}

missing look_for_directory(const spec& what) {
  struct stat info;
  if (what.directory.empty()) return {};
  if (::stat(what.directory.c_str(), &info) != 0)
    return fmt::format("the directory '{}': {}", what.directory, std::strerror(errno));
  if (!S_ISDIR(info.st_mode)) return fmt::format("'{}' is not a directory", what.directory);
  return {};
}

}  // namespace

missing find_missing(const spec& what) {
  auto first = look_for_program(what);
  if (!first) first = look_for_user(what);
  if (!first) first = look_for_directory(what);
  return first;
}

}  // namespace supervisor
