#include "upgrade_words.hpp"

#include <fmt/format.h>
#include <sys/wait.h>

#include <chrono>
#include <cstring>

#include "keeper/decide.hpp"
#include "supervisor/errc.hpp"
#include "supervisor/version.hpp"

namespace supervisor {

using keeper_wire::upgrade_result;

namespace {

upgrade_result result_of(const keeper_wire::record& upgraded) noexcept {
  return static_cast<upgrade_result>(upgraded.count);
}

event_kind kind_of(upgrade_result result) noexcept {
  switch (result) {
    case upgrade_result::committed:
      return event_kind::upgrade_committed;
    case upgrade_result::rolled_back:
    case upgrade_result::rolled_back_hung:
      return event_kind::upgrade_rolled_back;
    default:
      return event_kind::upgrade_failed;
  }
}

long seconds(duration d) { return std::chrono::duration_cast<std::chrono::seconds>(d).count(); }

}  // namespace

exit_status status_of(const keeper_wire::process_end& end) {
  return end.code == CLD_EXITED ? exit_status::exited(end.status)
                                : exit_status::signalled(end.status, end.code == CLD_DUMPED);
}

std::string words_of_upgrade(const keeper_wire::record& upgraded) {
  auto error = [&] { return std::string(::strerror(upgraded.end.status)); };
  auto ended = [&] { return status_of(upgraded.end).str(); };
  switch (result_of(upgraded)) {
    case upgrade_result::committed:
      return {};
    case upgrade_result::not_opened:
      return "the new program cannot be opened: " + error();
    case upgrade_result::not_executed:
      return "the new program cannot be executed: " + error();
    case upgrade_result::not_made:
      return "no process can be made for the new program: " + error();
    case upgrade_result::unreadable:
      return "the new program cannot read what this one knows; it says why on stderr";
    case upgrade_result::ended:
      return fmt::format(
          "the new program ended before it was ready to go on: {}; what it says is on stderr",
          ended());
    case upgrade_result::late:
      return fmt::format("the new program was not ready to go on after {} s, and was ended",
                         seconds(candidate_limit));
    case upgrade_result::master_ended:
      return "the master ended meanwhile: " + ended();
    case upgrade_result::not_now:
      return "an upgrade is under way, or the master has just started; try again";
    case upgrade_result::rolled_back:
      return fmt::format("the new program ended within its first {} s: {}", seconds(trial),
                         ended());
    case upgrade_result::rolled_back_hung:
      return "the new program did not answer, and was ended";
  }
  return fmt::format("the keeper tells of {}, which this program does not know", upgraded.count);
}

upgrade_status status_of_upgrade(const keeper_wire::record& upgraded) {
  auto kind = to_string(kind_of(result_of(upgraded)));
  return {std::string(kind.substr(kind.find('.') + 1)), words_of_upgrade(upgraded)};
}

event event_of_upgrade(const keeper_wire::record& upgraded) {
  event told(kind_of(result_of(upgraded)));
  told.text = words_of_upgrade(upgraded);
  if (told.text.empty()) told.text = "libsupervisor " SUPERVISOR_VERSION;
  return told;
}

std::string words_of_renewal(const keeper_wire::record& renewed) {
  if (renewed.count) return "the keeper is of the new program now, too";
  return std::string("the keeper stays of the program before: ") + ::strerror(renewed.end.status);
}

reply answer_of_upgrade(std::string why) {
  if (!why.empty()) return refusal(make_error_code(errc::rolled_back), std::move(why));
  reply well;
  well.body["ok"] = true;
  well.body["exit"] = exit_code::ok;
  return well;
}

}  // namespace supervisor
