#include "supervisor/recycle.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/span.hpp"

namespace supervisor {

namespace {

/// What the lot takes off `limit`.
double cut(const recycle_policy& policy, double limit, unsigned lot) noexcept {
  return limit * std::clamp(policy.jitter, 0.0, 1.0) * std::min(lot, recycle_lots - 1) /
         recycle_lots;
}

}  // namespace

std::uint64_t request_limit(const recycle_policy& policy, unsigned lot) noexcept {
  auto most = policy.max_requests;
  auto less = static_cast<std::uint64_t>(cut(policy, static_cast<double>(most), lot));
  return most ? std::max<std::uint64_t>(1, most - std::min(less, most)) : 0;
}

duration age_limit(const recycle_policy& policy, unsigned lot) noexcept {
  if (policy.max_age <= duration{}) return {};
  auto less = duration(
      static_cast<duration::rep>(cut(policy, static_cast<double>(policy.max_age.count()), lot)));
  return std::max(duration(1), policy.max_age - less);
}

std::string recycle_due(const recycle_policy& policy, const recycle_facts& facts) {
  auto requests = request_limit(policy, facts.lot);
  if (requests && facts.requests >= requests) return fmt::format("{} requests", facts.requests);
  if (facts.asked) return "it asked for it";
  auto age = age_limit(policy, facts.lot);
  if (age > duration{} && facts.age >= age) return "its age, " + describe(facts.age);
  if (policy.max_memory && facts.heavy >= std::max(policy.samples, 1u))
    return fmt::format("its memory, {:.1f} MiB", static_cast<double>(facts.memory) / (1 << 20));
  return {};
}

}  // namespace supervisor
