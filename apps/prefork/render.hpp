// A master's answers, for people.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>

namespace app {

/// The answer to GET /status as a table; `wide` adds generations and workers' own words.
std::string render_status(const boost::json::object& status, bool wide);
/// The answer to GET /rollout in a paragraph a pool: what is under way, and how far undo goes.
std::string render_rollouts(const boost::json::object& rollouts);
/// The same answer's past, as a table.
std::string render_history(const boost::json::object& rollouts);
/// What a slot's worker is busy with: "GET /slow for 12 s, 3 in flight", "idle".
std::string render_state(const boost::json::object& slot);
std::string render_work(const boost::json::object& slot);

// Of an answer, whatever its shape: a string or a number in words, a number or 0, an array or
// none, and a slot's "work", if it has that.
std::string text_in(const boost::json::object&, const char* name);
double number_in(const boost::json::object&, const char* name);
const boost::json::array& list_in(const boost::json::object&, const char* name);
const boost::json::object& work_of(const boost::json::object& slot);

/// "5 s", "3 m", "2 h 5 m", "4 d".
std::string render_uptime(double seconds);

}  // namespace app
