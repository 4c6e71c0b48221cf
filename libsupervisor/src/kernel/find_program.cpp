#include "kernel/find_program.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string_view>

#include "kernel/error.hpp"

namespace supervisor::kernel {

std::string find_program(const std::string& name, const std::string& path) {
  if (name.find('/') != std::string::npos) return name;
  int error = ENOENT;
  for (std::string_view rest = path; !name.empty();) {
    auto end = rest.find(':');
    std::string candidate(rest.substr(0, end));
    if (candidate.empty()) candidate = ".";
    candidate += '/' + name;
    struct stat file;
    if (::stat(candidate.c_str(), &file) == 0 && S_ISREG(file.st_mode)) {
      if (::access(candidate.c_str(), X_OK) == 0) return candidate;
      error = EACCES;
    }
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  throw_errno(name, error);
}

std::string path_of_this_program(const std::string& called) {
  namespace fs = std::filesystem;
  const fs::path running = "/proc/self/exe";
  try {
    const char* directories = std::getenv("PATH");
    fs::path found = find_program(called, directories ? directories : "");
    if (fs::equivalent(found, running)) return fs::absolute(found).string();
  } catch (const std::exception&) {
    // Called by a name that leads elsewhere, or to nothing from here.
  }
  std::error_code error;
  auto path = fs::read_symlink(running, error);
  return error ? running.string() : path.string();
}

}  // namespace supervisor::kernel
