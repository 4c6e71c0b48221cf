#include "control/gate.hpp"

#include <fmt/format.h>

#include "control/members.hpp"
#include "host/span.hpp"
#include "supervisor/spec.hpp"

namespace json = boost::json;

namespace supervisor {

namespace {

std::optional<unsigned> take_count(json::object& body, std::string_view name, unsigned least) {
  auto value = take(body, name);
  if (!value) return {};
  return static_cast<unsigned>(integer(*value, name, least, most_workers));
}

std::optional<duration> take_seconds(json::object& body, std::string_view name) {
  auto value = take(body, name);
  if (!value) return {};
  boost::system::error_code error;
  auto seconds = value->to_number<double>(error);
  constexpr double a_year = 366 * 86400;
  if (error || !(seconds >= 0 && seconds <= a_year))
    complain(fmt::format("\"{}\" is a number of seconds, at most a year", name));
  return std::chrono::duration_cast<duration>(std::chrono::duration<double>(seconds));
}

}  // namespace

gate take_gate(json::object& body) {
  gate how;
  how.canary = take_count(body, "canary", 0);
  how.bake = take_seconds(body, "bake_s");
  how.batch = take_count(body, "batch", 1);
  how.max_unavailable = take_count(body, "max_unavailable", 0);
  how.progress_deadline = take_seconds(body, "progress_deadline_s");
  if (auto check = take(body, "bake_check"))
    how.bake_check = probe::parse(text(*check, "bake_check"));
  return how;
}

rollout_options gate::over(rollout_options how) const {
  auto& plan = how.plan;
  plan.canary = canary.value_or(plan.canary);
  plan.bake = bake.value_or(plan.bake);
  plan.batch = batch.value_or(plan.batch);
  plan.max_unavailable = max_unavailable.value_or(plan.max_unavailable);
  plan.progress_deadline = progress_deadline.value_or(plan.progress_deadline);
  if (bake_check) how.healthy(*bake_check);
  return how;
}

std::string describe(const gate& how) {
  std::string words;
  if (how.canary) words += fmt::format(" canary {}", *how.canary);
  if (how.bake) words += fmt::format(" bake {}", describe(*how.bake));
  if (how.bake_check) words += " bake_check " + how.bake_check->str();
  if (how.batch) words += fmt::format(" batch {}", *how.batch);
  if (how.max_unavailable) words += fmt::format(" max_unavailable {}", *how.max_unavailable);
  if (how.progress_deadline)
    words += fmt::format(" progress_deadline {}", describe(*how.progress_deadline));
  return words;
}

}  // namespace supervisor
