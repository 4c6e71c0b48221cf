#include "values.hpp"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "supervisor/signals.hpp"

namespace app {

namespace sup = supervisor;

void complain(std::string words) { throw std::invalid_argument(std::move(words)); }

std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || !std::isfinite(value) || value < 0) return std::nullopt;
  std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  double seconds = unit.empty() || unit == "s" ? 1
                   : unit == "ms"              ? 1e-3
                   : unit == "us"              ? 1e-6
                   : unit == "m"               ? 60
                   : unit == "h"               ? 3600
                                               : 0;
  constexpr double a_year = 366 * 86400.0;
  if (seconds == 0 || value * seconds > a_year) return std::nullopt;
  return std::chrono::nanoseconds(std::llround(value * seconds * 1e9));
}

sup::duration duration_of(const std::string& option, const std::string& text) {
  auto value = parse_duration(text);
  if (!value)
    complain(
        fmt::format("{}: \"{}\" is no duration; write seconds, or 500ms, 1.5s, 2m", option, text));
  return *value;
}

unsigned count_of(const std::string& option, const std::string& text) {
  auto count = number_of<unsigned>(text);
  if (!count || *count == 0)
    complain(fmt::format("{}: \"{}\" is no number from 1 on", option, text));
  return *count;
}

std::uint64_t size_of(const std::string& option, const std::string& text) {
  constexpr std::string_view units = "KMGT";
  auto digits = std::string_view(text);
  unsigned shift = 0;
  if (auto unit = digits.empty() ? units.npos : units.find(digits.back()); unit != units.npos) {
    shift = 10 * static_cast<unsigned>(unit + 1);
    digits.remove_suffix(1);
  }
  auto value = number_of<std::uint64_t>(digits);
  if (!value || *value == 0 || *value > std::numeric_limits<std::uint64_t>::max() >> shift)
    complain(fmt::format("{}: \"{}\" is no size; write bytes, or 512K, 512M, 2G", option, text));
  return *value << shift;
}

int signal_of(const std::string& option, const std::string& text) {
  auto number = sup::signal_number(text);
  if (!number) complain(fmt::format("{}: there is no signal \"{}\"; see: kill -l", option, text));
  return *number;
}

unsigned workers_of(const std::string& option, const std::string& text) {
  if (text == "auto") {
    // What this process may use, which in a container is less than what the machine has.
    cpu_set_t set;
    if (::sched_getaffinity(0, sizeof set, &set) == 0)
      return std::max(1u, static_cast<unsigned>(CPU_COUNT(&set)));
    return 1;
  }
  auto count = number_of<unsigned>(text);
  if (!count || *count < 1 || *count > sup::most_workers)
    complain(fmt::format("{}: \"{}\" is neither auto nor a number from 1 to {}", option, text,
                         sup::most_workers));
  return *count;
}

unsigned slot_of(const std::string& text) {
  auto slot = number_of<std::uint32_t>(text);
  if (!slot || *slot > std::numeric_limits<std::int32_t>::max())
    complain(fmt::format("\"{}\" is not a slot's number; see: prefork status", text));
  return *slot;
}

namespace {

std::uint64_t limit_value(const std::string& option, const std::string& whole,
                          std::string_view text) {
  if (text == "unlimited") return std::numeric_limits<std::uint64_t>::max();
  auto value = number_of<std::uint64_t>(text);
  if (!value) complain(fmt::format("{}: \"{}\" is not NAME=SOFT[:HARD]", option, whole));
  return *value;
}

}  // namespace

sup::limit limit_of(const std::string& option, const std::string& text) {
  auto equals = text.find('=');
  if (equals == text.npos || equals == 0)
    complain(fmt::format("{}: \"{}\" is not NAME=SOFT[:HARD]", option, text));
  auto values = std::string_view(text).substr(equals + 1);
  auto colon = values.find(':');
  sup::limit result;
  result.name = text.substr(0, equals);
  result.soft = limit_value(option, text, values.substr(0, colon));
  result.hard =
      colon == values.npos ? result.soft : limit_value(option, text, values.substr(colon + 1));
  return result;
}

/// A name is part of a path, and of a line of the log.
std::string name_of(const std::string& option, const std::string& text) {
  auto good = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
  };
  if (text.empty() || text.size() > 64 || text.front() == '.' ||
      !std::all_of(text.begin(), text.end(), good))
    complain(
        fmt::format("{}: \"{}\" is not a name of letters, digits, '-', '_' and '.'", option, text));
  return text;
}

}  // namespace app
