// What prefork top shows: a picture of two answers of a master, and what keys mean.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace app {

/// One worker's line.
struct top_row {
  std::string pool;
  std::int64_t slot = 0;
  std::int64_t pid = 0;
  std::string state;  ///< of the slot, or where that is ready: of the worker's work
  double uptime = 0;
  std::int64_t restarts = 0;
  std::optional<double> rate;  ///< requests a second between the two answers
  std::int64_t in_flight = 0;
  std::int64_t connections = 0;
  double busy = 0;  ///< seconds of the oldest request in flight
  std::string activity;
};

/// The rows of `now`; `before` is the answer `seconds` earlier, or empty.
std::vector<top_row> top_rows(const boost::json::object& now, const boost::json::object& before,
                              double seconds);

enum class top_order : std::uint8_t { slot, rate, in_flight, busy, uptime, restarts };

struct top_screen {
  top_screen() = default;
  std::string head;  ///< who, and since when
  std::vector<top_row> rows;
  top_order order = top_order::slot;
  std::size_t selected = 0;  ///< of `rows`
  std::string message;       ///< what became of the last key; empty: what keys there are
};

/// Takes a newer answer in: rows anew, in their order, with the same slot selected.
void update(top_screen&, const boost::json::object& now, const boost::json::object& before,
            double seconds);
top_order next(top_order) noexcept;
/// Sorts, and keeps the same slot selected.
void sort_by(top_screen&, top_order);

/// A whole picture for a terminal of that size, drawn from its upper left corner on.
std::string render_top(const top_screen&, unsigned lines, unsigned columns);

enum class top_key : std::uint8_t { none, quit, up, down, sort, more, fewer, restart, redraw };
/// Takes the next key off what was typed; an unfinished escape sequence is none.
top_key next_key(std::string& typed);

}  // namespace app
