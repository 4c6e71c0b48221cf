// Users and groups.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace supervisor::kernel {

/// Whom a process is to become.
struct credentials {
  std::optional<uid_t> user;
  std::optional<gid_t> group;
  std::optional<std::vector<gid_t>> groups;  ///< supplementary
};

/// Looks up names or numbers; empty ones change nothing. A user without a group brings its own
/// group and its supplementary ones. Reads the databases, which allocates and may block: never in a
/// fresh child. Throws system_error that names what is unknown.
credentials look_up(const std::string& user, const std::string& group);

/// Becomes them: raw system calls, as glibc's talk to the process's other threads. Returns the name
/// of the call that failed, with errno set, or null.
const char* assume(const credentials&) noexcept;

}  // namespace supervisor::kernel
