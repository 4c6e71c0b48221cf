#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstring>

#include "supervisor/signals.hpp"

namespace supervisor {

namespace {

/// "1" -> 1; nothing for anything but digits.
std::optional<int> parse_number(std::string_view text) noexcept {
  int number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || text.front() == '-') return {};
  return number;
}

/// "RTMIN+1", "RTMAX-2", "RTMIN". glibc keeps the first two real-time signals for itself, so that
/// SIGRTMIN is a value of the run, not a constant (signal(7)).
std::optional<int> parse_real_time(std::string_view name) noexcept {
  bool from_min = name.starts_with("RTMIN");
  if (!from_min && !name.starts_with("RTMAX")) return {};
  int base = from_min ? SIGRTMIN : SIGRTMAX;
  name.remove_prefix(5);
  if (name.empty()) return base;
  if (name.size() < 2 || name.front() != (from_min ? '+' : '-')) return {};
  auto offset = parse_number(name.substr(1));
  if (!offset || *offset > SIGRTMAX - SIGRTMIN) return {};
  return from_min ? base + *offset : base - *offset;
}

struct alias {
  std::string_view name;
  int number;
};
constexpr std::array aliases{alias{"CLD", SIGCHLD}, alias{"IOT", SIGABRT}, alias{"IO", SIGPOLL}};

}  // namespace

std::string signal_name(int number) {
  if (number == SIGRTMIN) return "SIGRTMIN";
  if (number > SIGRTMIN && number <= SIGRTMAX)
    return "SIGRTMIN+" + std::to_string(number - SIGRTMIN);
  if (auto* name = sigabbrev_np(number)) return std::string("SIG") + name;
  return "signal " + std::to_string(number);
}

std::vector<int> trap_signals() { return {SIGHUP, SIGINT, SIGQUIT, SIGTERM}; }

std::optional<int> signal_number(std::string_view text) noexcept {
  std::array<char, 16> upper;  // longer than any name
  if (text.empty() || text.size() > upper.size()) return {};
  std::transform(text.begin(), text.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  std::string_view name(upper.data(), text.size());
  if (auto number = parse_number(name))
    return *number >= 1 && *number <= SIGRTMAX ? number : std::nullopt;
  if (name.starts_with("SIGNAL ")) return signal_number(name.substr(7));  // what has no name
  if (name.starts_with("SIG")) name.remove_prefix(3);
  if (auto number = parse_real_time(name)) return number;
  for (auto& other : aliases)
    if (name == other.name) return other.number;
  for (int number = 1; number < SIGRTMIN; ++number)
    if (auto* known = sigabbrev_np(number); known && name == known) return number;
  return {};
}

}  // namespace supervisor
