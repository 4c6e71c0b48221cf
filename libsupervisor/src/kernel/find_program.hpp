// A program by name.
#pragma once

#include <string>

namespace supervisor::kernel {

/// The path that execvp(3) would take for `name`, with the directories of `path`. A name with a
/// slash is its own path. Throws system_error when there is none.
std::string find_program(const std::string& name, const std::string& path);

/// The path by which what comes after this program is found; `called` is how this one was. That
/// comes first: a deploy that switches a symbolic link (current -> v2) is followed, where the
/// kernel's own answer names the old file for good, and says "(deleted)" once that is replaced.
std::string path_of_this_program(const std::string& called);

}  // namespace supervisor::kernel
