// A master's answers, for people.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>

namespace app {

/// The answer to GET /status as a table; `wide` adds generations and workers' own words.
std::string render_status(const boost::json::object& status, bool wide);
/// "5 s", "3 m", "2 h 5 m", "4 d".
std::string render_uptime(double seconds);

}  // namespace app
