#include "supervisor/scoreboard.hpp"

#include <fmt/format.h>

#include "host/span.hpp"

namespace supervisor {

std::string_view describe_phase(const scoreboard& board) noexcept {
  switch (board.now) {
    case scoreboard::phase::starting:
      return "starting";
    case scoreboard::phase::serving:
      return board.in_flight ? "busy" : "idle";
    case scoreboard::phase::draining:
      return "draining";
    case scoreboard::phase::leaving:
      break;
  }
  return "leaving";
}

std::string describe_work(const scoreboard& board, const scoreboard::request& one) {
  if (board.in_flight == 0) return {};
  auto text =
      fmt::format("{}, {} in", one.what.empty() ? "a request" : one.what, describe(one.age));
  if (board.in_flight > 1) text += fmt::format("; {} more in flight", board.in_flight - 1);
  return text;
}

}  // namespace supervisor
