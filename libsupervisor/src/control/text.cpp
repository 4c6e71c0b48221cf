#include "control/text.hpp"

#include <fmt/format.h>

namespace supervisor {

namespace {

bool shows(std::string_view character) noexcept {
  if (character.size() == 1)
    return character == "\t" || !is_control(static_cast<unsigned char>(character[0]));
  // U+0080 to U+009F are C1: in one character what ESC and another are.
  return !(character[0] == '\xc2' && static_cast<unsigned char>(character[1]) < 0xa0);
}

}  // namespace

bool is_control(unsigned char c) noexcept { return c < 0x20 || c == 0x7f; }

std::size_t utf8_length(std::string_view text) noexcept {
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  auto lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  std::size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  auto second = byte(1);
  if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f)) return 0;
  if ((lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) return 0;
  return length;
}

std::string printable(std::string_view text) {
  std::string safe;
  safe.reserve(text.size());
  while (!text.empty()) {
    auto length = utf8_length(text);
    auto character = text.substr(0, length ? length : 1);
    text.remove_prefix(character.size());
    if (character == "\n")
      safe += "\\n";
    else if (length && shows(character))
      safe += character;
    else
      for (char c : character) safe += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }
  return safe;
}

std::string iso_time(wall_time when) {
  auto since = when.time_since_epoch();
  auto whole = std::chrono::floor<std::chrono::seconds>(since);
  auto ms = std::chrono::floor<std::chrono::milliseconds>(since - whole).count();
  std::time_t seconds = whole.count();
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, ms);
}

}  // namespace supervisor
