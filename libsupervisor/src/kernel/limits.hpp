// Resource limits, by name.
#pragma once

#include <sys/resource.h>

#include <optional>
#include <string_view>

namespace supervisor::kernel {

/// The RLIMIT_ number of "nofile", "core", ...
std::optional<int> limit_number(std::string_view name) noexcept;

/// For the calling process; async-signal-safe. 0 or errno.
int set_limit(int number, const rlimit&) noexcept;

}  // namespace supervisor::kernel
