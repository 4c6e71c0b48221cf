// From the words of a command line to values; each complains with the option and the way out.
#pragma once

#include <charconv>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "supervisor/spec.hpp"

namespace app {

/// Throws std::invalid_argument.
[[noreturn]] void complain(std::string words);

/// "30", "1.5", "500ms", "2m": nothing where it is no duration.
std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text);
supervisor::duration duration_of(const std::string& option, const std::string& text);

template <typename Number>
std::optional<Number> number_of(std::string_view text, int base = 10) {
  Number value{};
  auto* last = text.data() + text.size();
  std::from_chars_result result;
  if constexpr (std::is_floating_point_v<Number>)
    result = std::from_chars(text.data(), last, value);
  else
    result = std::from_chars(text.data(), last, value, base);
  auto [end, error] = result;
  if (error != std::errc() || end != last) return std::nullopt;
  return value;
}

unsigned count_of(const std::string& option, const std::string& text);      ///< 1 or more
std::uint64_t size_of(const std::string& option, const std::string& text);  ///< "512M", in bytes
int signal_of(const std::string& option, const std::string& text);
unsigned workers_of(const std::string& option, const std::string& text);  ///< "4", "auto"
unsigned slot_of(const std::string& text);
/// "nofile=1024:4096"
supervisor::limit limit_of(const std::string& option, const std::string& text);
/// Of a master, or a pool.
std::string name_of(const std::string& option, const std::string& text);

}  // namespace app
