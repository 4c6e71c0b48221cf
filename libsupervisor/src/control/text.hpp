// Words of others, shown.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "supervisor/time.hpp"

namespace supervisor {

bool is_control(unsigned char) noexcept;

/// The length of the UTF-8 character that `text` begins with; 0 where it begins with none
/// (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF).
std::size_t utf8_length(std::string_view text) noexcept;

/// One line of UTF-8 that steers nobody's terminal: control characters but the tab, C1's too, and
/// what is no UTF-8 come out as "\xNN", a newline as "\n".
std::string printable(std::string_view text);

/// "2026-11-22T15:54:45.948Z"
std::string iso_time(wall_time);

}  // namespace supervisor
