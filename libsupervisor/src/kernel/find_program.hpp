// A program by name.
#pragma once

#include <string>

namespace supervisor::kernel {

/// The path that execvp(3) would take for `name`, with the directories of `path`. A name with a
/// slash is its own path. Throws system_error when there is none.
std::string find_program(const std::string& name, const std::string& path);

}  // namespace supervisor::kernel
