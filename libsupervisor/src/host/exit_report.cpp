#include "supervisor/exit_report.hpp"

#include <array>
#include <system_error>

#include "supervisor/signals.hpp"

namespace supervisor {

namespace {

/// By the value of exit_cause.
constexpr std::array<std::string_view, 16> cause_names{
    "none",          "finished",   "crash",   "boot_timeout", "launch_failure",  "recycled",
    "scaled_down",   "replaced",   "stopped", "hang",         "request_timeout", "probe",
    "out_of_memory", "dependency", "killed",  "lost"};
static_assert(cause_names.size() == static_cast<std::size_t>(exit_cause::lost) + 1);

}  // namespace

std::optional<int> exit_status::code() const noexcept {
  return kind_ == kind::exited ? std::optional(value_) : std::nullopt;
}

std::optional<int> exit_status::signal() const noexcept {
  return kind_ == kind::signalled ? std::optional(value_) : std::nullopt;
}

std::string exit_status::str() const {
  switch (kind_) {
    case kind::exited:
      return "exit " + std::to_string(value_);
    case kind::signalled:
      return signal_name(value_) + (core_ ? " (core dumped)" : "");
    case kind::lost:
      break;
  }
  return "status lost";
}

std::string_view to_string(exit_cause cause) noexcept {
  auto index = static_cast<std::size_t>(cause);
  return index < cause_names.size() ? cause_names[index] : "unknown";
}

std::optional<exit_cause> parse_exit_cause(std::string_view name) noexcept {
  for (std::size_t i = 0; i < cause_names.size(); ++i)
    if (cause_names[i] == name) return static_cast<exit_cause>(i);
  return std::nullopt;
}

std::string launch_error::str() const {
  auto text = stage;
  if (!what.empty()) text += (text.empty() ? "" : " ") + what;
  if (error) text += (text.empty() ? "" : ": ") + std::generic_category().message(error);
  return text;
}

}  // namespace supervisor
