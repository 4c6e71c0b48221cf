#include <fmt/format.h>

#include "host/span.hpp"
#include "supervisor/rollout.hpp"

namespace supervisor {

rollout_options& rollout_options::canary(unsigned count) & {
  plan.canary = count;
  return *this;
}
rollout_options& rollout_options::bake(duration d) & {
  plan.bake = d;
  return *this;
}
rollout_options& rollout_options::healthy(health_check asked, duration every) & {
  health = std::move(asked);
  probe.reset();
  plan.ask_every = health ? std::max(every, duration(1)) : duration{};
  return *this;
}
rollout_options& rollout_options::batch(unsigned count) & {
  plan.batch = count;
  return *this;
}
rollout_options& rollout_options::max_unavailable(unsigned count) & {
  plan.max_unavailable = count;
  return *this;
}
rollout_options& rollout_options::progress_deadline(duration d) & {
  plan.progress_deadline = d;
  return *this;
}
rollout_options& rollout_options::keep_generations(unsigned count) & {
  plan.keep_generations = count;
  return *this;
}

std::optional<std::string> find_fault(const rollout_options& how) {
  auto& plan = how.plan;
  if (plan.batch == 0) return "a rollout in batches of 0 workers would never end";
  if (plan.bake < duration{} || plan.progress_deadline < duration{})
    return "a rollout's bake and its progress deadline are no times in the past";
  bool watched = plan.bake > duration{} || plan.ask_every > duration{};
  if (plan.canary == 0 && watched) return "a bake and a health check need a canary";
  return {};
}

std::string describe(const rollout_plan& plan) {
  std::string text;
  if (plan.canary) text = fmt::format("canary {}, ", plan.canary);
  if (plan.bake > duration{}) text += fmt::format("bake {}, ", describe(plan.bake));
  if (plan.ask_every > duration{}) text += "health check, ";
  text += fmt::format("{}{} at a time", plan.canary ? "then " : "", plan.batch);
  if (plan.max_unavailable)
    text += fmt::format(", old ones leave first, at most {} missing", plan.max_unavailable);
  return text;
}

std::string_view to_string(rollout_end end) noexcept {
  switch (end) {
    case rollout_end::running:
      return "running";
    case rollout_end::committed:
      return "committed";
    case rollout_end::failed:
      return "failed";
    case rollout_end::aborted:
      return "aborted";
    case rollout_end::superseded:
      return "superseded";
  }
  return "unknown";
}

}  // namespace supervisor
