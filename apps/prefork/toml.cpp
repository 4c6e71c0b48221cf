// The only file that knows the library which reads TOML, and compiles it.
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
#include "toml.hpp"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>

namespace app {

namespace {

place place_of(const toml::source_region& region) {
  return {region.begin.line, region.begin.column};
}

toml_value value_of(const toml::node& node) {
  using kind = toml_value::kind;
  toml_value value;
  value.at = place_of(node.source());
  value.what = kind::time;
  if (auto* text = node.as_string()) {
    value.what = kind::text;
    value.text = text->get();
  } else if (auto* integer = node.as_integer()) {
    value.what = kind::number;
    value.text = fmt::format("{}", integer->get());
  } else if (auto* number = node.as_floating_point()) {
    value.what = kind::number;
    value.text = fmt::format("{}", number->get());
  } else if (auto* flag = node.as_boolean()) {
    value.what = kind::flag;
    value.text = flag->get() ? "true" : "false";
  } else if (auto* list = node.as_array()) {
    value.what = kind::list;
    for (auto& element : *list) value.elements.push_back(value_of(element));
  } else if (auto* table = node.as_table()) {
    value.what = kind::table;
    for (auto&& [key, entry] : *table)
      value.entries.push_back({std::string(key.str()), place_of(key.source()), value_of(entry)});
    std::ranges::sort(value.entries, {}, &toml_entry::at);
  }
  return value;
}

/// "cannot redefine existing table 'x'", without what the parser was doing.
std::string words_of(const toml::parse_error& error) {
  std::string words(error.description());
  auto doing = words.find(": ");
  return words.rfind("Error while", 0) == 0 && doing != words.npos ? words.substr(doing + 2)
                                                                   : words;
}

}  // namespace

toml_value parse_toml(std::string_view document, std::optional<complaint>& error) {
  auto parsed = toml::parse(document);
  if (parsed) return value_of(parsed.table());
  error.emplace(place_of(parsed.error().source()), words_of(parsed.error()));
  return {};
}

}  // namespace app
