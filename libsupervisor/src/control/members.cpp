#include "control/members.hpp"

#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <stdexcept>

namespace json = boost::json;

namespace supervisor {

[[noreturn]] void complain(std::string words) { throw std::invalid_argument(std::move(words)); }

json::object parse_object(std::string_view body) {
  if (body.find_first_not_of(" \t\r\n") == body.npos) return {};
  boost::system::error_code error;
  auto value = json::parse({body.data(), body.size()}, error);
  if (error) complain("the body is not JSON: " + error.message());
  if (!value.is_object()) complain("the body is not a JSON object");
  return std::move(value.as_object());
}

/// Takes one member out; what is left at the end is unknown.
std::optional<json::value> take(json::object& from, std::string_view name) {
  auto it = from.find({name.data(), name.size()});
  if (it == from.end()) return std::nullopt;
  std::optional<json::value> value(std::move(it->value()));
  from.erase(it);
  return value;
}

std::int64_t integer(const json::value& value, std::string_view name, std::int64_t least,
                     std::int64_t most) {
  boost::system::error_code error;
  auto number = value.to_number<std::int64_t>(error);
  if (error || number < least || number > most)
    complain(fmt::format("\"{}\" is an integer from {} to {}", name, least, most));
  return number;
}

std::string text(const json::value& value, std::string_view name) {
  if (!value.is_string()) complain(fmt::format("\"{}\" is a string", name));
  return {value.get_string().data(), value.get_string().size()};
}

}  // namespace supervisor
