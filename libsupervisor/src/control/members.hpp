// The members of a request's JSON body; each complains with its name.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace supervisor {

/// Throws std::invalid_argument, for the client.
[[noreturn]] void complain(std::string words);

boost::json::object parse_object(std::string_view body);
/// Takes one member out; what is left at the end is unknown.
std::optional<boost::json::value> take(boost::json::object& from, std::string_view name);
std::int64_t integer(const boost::json::value&, std::string_view name, std::int64_t least,
                     std::int64_t most);
std::string text(const boost::json::value&, std::string_view name);

}  // namespace supervisor
