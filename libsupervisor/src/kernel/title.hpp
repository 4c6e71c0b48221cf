// What ps and top show of a process.
#pragma once

#include <string_view>

namespace supervisor::kernel {

/// Makes the memory of argv and of the environment behind it usable for titles; the environment
/// moves to the heap. Once, before any thread. Pointers into argv taken before show title text
/// later.
void take_title_area();

/// Shows `title` as the command line; cut to the area's size. Nothing where no area was taken.
void set_title(std::string_view title) noexcept;

/// Sets the short name, at most 15 bytes (PR_SET_NAME).
void set_short_name(const char* name) noexcept;

}  // namespace supervisor::kernel
