#include "supervisor/restart.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace supervisor {

namespace {

constexpr double starts_per_second = 100;

/// What a program did itself; a status that somebody else took may hide just that, so a worker that
/// dies at boot is bounded there too.
bool own_doing(const restart_facts& facts) {
  switch (facts.cause) {
    case exit_cause::finished:
    case exit_cause::crash:
    case exit_cause::boot_timeout:
    case exit_cause::launch_failure:
    case exit_cause::hang:
    case exit_cause::request_timeout:
    case exit_cause::lost:
      return true;
    // A ready worker is chosen by the kernel for what the whole machine uses.
    case exit_cause::out_of_memory:
      return !facts.was_ready;
    case exit_cause::none:
    case exit_cause::recycled:
    case exit_cause::scaled_down:
    case exit_cause::replaced:
    case exit_cause::stopped:
    case exit_cause::killed:
      return false;
  }
  return false;
}

/// The curve before jitter, for the `doublings`-th delay.
duration backoff(const restart_policy& policy, unsigned doublings) {
  if (policy.base <= duration{}) return {};
  auto delay = std::min(policy.base, policy.cap);
  for (; doublings > 0 && delay < policy.cap; --doublings)
    delay = delay > policy.cap / 2 ? policy.cap : delay * 2;
  return delay;
}

duration spread(duration delay, double jitter, std::uint64_t random) {
  jitter = std::clamp(jitter, 0.0, 1.0);
  auto unit = std::ldexp(static_cast<double>(random >> 11), -53);  // [0, 1)
  auto spread = static_cast<double>(delay.count()) * (1 - jitter + 2 * jitter * unit);
  // The largest duration is no double; the next one above it is, and would overflow.
  if (spread >= static_cast<double>(duration::max().count())) return duration::max();
  return duration(static_cast<duration::rep>(spread));
}

}  // namespace

restart_decision decide_restart(const restart_policy& policy, const restart_facts& facts) noexcept {
  if (facts.was_ready && facts.ready_for >= policy.healthy_after) return {};
  if (!own_doing(facts)) return {facts.failures, {}};
  auto failures = facts.failures;
  if (failures < std::numeric_limits<unsigned>::max()) ++failures;
  if (failures <= policy.immediate) return {failures, {}};
  auto delay = backoff(policy, failures - policy.immediate - 1);
  return {failures, spread(delay, policy.jitter, facts.random)};
}

time_point take_start(start_budget& budget, unsigned target, time_point now) noexcept {
  auto capacity = std::max(100.0, 2.0 * target);
  if (budget.refilled == time_point{}) budget = {capacity, now};
  auto elapsed = std::max(duration{}, now - budget.refilled);
  auto gained = std::chrono::duration<double>(elapsed).count() * starts_per_second;
  budget.tokens = std::min(capacity, budget.tokens + gained) - 1;
  budget.refilled = std::max(budget.refilled, now);
  if (budget.tokens >= 0) return now;
  // Below zero are the starts that were promised a token to come.
  auto wait = std::chrono::duration<double, std::nano>(-budget.tokens / starts_per_second * 1e9);
  return now + duration(static_cast<duration::rep>(std::ceil(wait.count())));
}

}  // namespace supervisor
