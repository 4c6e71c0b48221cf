// A TOML document as plain data, with the place of everything in it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace app {

/// Counted from 1; columns in characters.
struct place {
  place() = default;
  place(unsigned l, unsigned c) : line(l), column(c) {}
  unsigned line = 1, column = 1;
  friend auto operator<=>(const place&, const place&) = default;
};

struct toml_entry;

struct toml_value {
  enum class kind : std::uint8_t { text, number, flag, list, table, time };
  toml_value() = default;

  kind what = kind::table;
  place at;
  std::string text;                  ///< of a text, a number ("4", "2.5"), a flag ("true")
  std::vector<toml_value> elements;  ///< of a list
  std::vector<toml_entry> entries;   ///< of a table, as they stand in the file
};

struct toml_entry {
  std::string key;
  place at;  ///< of the key
  toml_value value;
};

/// What is wrong with a document, and where.
struct complaint {
  complaint(place p, std::string t) : at(p), text(std::move(t)) {}
  place at;
  std::string text;
  friend bool operator==(const complaint&, const complaint&) = default;
};

/// The document's table; what makes it no TOML is told by `error`.
toml_value parse_toml(std::string_view document, std::optional<complaint>& error);

}  // namespace app
