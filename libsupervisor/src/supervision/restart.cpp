#include "supervisor/restart.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace supervisor {

// Sets of causes.

causes causes::any() {
  causes all;
  all.causes_.set();
  return all;
}

causes causes::exit_codes(int first, int last) {
  causes set;
  for (int code = std::max(first, 0); code <= std::min(last, 255); ++code)
    set.codes_.set(static_cast<std::size_t>(code));
  return set;
}

causes causes::signal(int number) {
  causes set;
  if (number > 0 && number < static_cast<int>(set.signals_.size()))
    set.signals_.set(static_cast<std::size_t>(number));
  return set;
}

causes causes::any_signal() {
  causes set;
  set.signals_.set();
  return set;
}

causes causes::of(exit_cause cause) {
  causes set;
  set.causes_.set(static_cast<std::size_t>(cause));
  return set;
}

bool causes::contain(exit_cause why, const exit_status& how) const noexcept {
  if (causes_.test(static_cast<std::size_t>(why))) return true;
  // Told to leave, it is not by its own code or signal that it left.
  bool by_itself =
      why == exit_cause::finished || why == exit_cause::crash || why == exit_cause::killed;
  if (!by_itself) return false;
  if (auto code = how.code()) return codes_.test(static_cast<std::size_t>(*code & 255));
  if (auto signal = how.signal())
    return *signal < static_cast<int>(signals_.size()) &&
           signals_.test(static_cast<std::size_t>(*signal));
  return false;
}

std::string_view to_string(verdict next) noexcept {
  switch (next) {
    case verdict::again:
      return "again";
    case verdict::trial:
      return "trial";
    case verdict::finished:
      return "finished";
    case verdict::given_up:
      return "given_up";
    case verdict::escalated:
      return "escalated";
  }
  return "unknown";
}

bool restart_policy::operator==(const restart_policy&) const = default;

restart_policy& restart_policy::on(causes when, restart_policy answer) {
  rules.emplace_back(when, std::move(answer));
  return *this;
}

const restart_policy& restart_policy::answer_to(exit_cause why,
                                                const exit_status& how) const noexcept {
  for (auto& rule : rules)
    if (rule.when.contain(why, how)) return rule.answer;
  return *this;
}

namespace {

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
    case exit_cause::probe:
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
    case exit_cause::dependency:
      return false;
  }
  return false;
}

bool finished(restart_type type, const restart_facts& facts) {
  // Who was to make it died: that was no worker's end.
  if (facts.never_ran && facts.cause == exit_cause::killed) return false;
  return type == restart_type::temporary ||
         (type == restart_type::transient && facts.cause == exit_cause::finished);
}

double unit(std::uint64_t random) { return std::ldexp(static_cast<double>(random >> 11), -53); }

duration times(duration d, double factor) {
  auto product = static_cast<double>(d.count()) * factor;
  // The largest duration is no double; the next one above it is, and would overflow.
  if (product >= static_cast<double>(duration::max().count())) return duration::max();
  return duration(static_cast<duration::rep>(product));
}

duration spread(duration delay, double jitter, std::uint64_t random) {
  jitter = std::clamp(jitter, 0.0, 1.0);
  return times(delay, 1 - jitter + 2 * jitter * unit(random));
}

duration doubled(duration base, duration cap, unsigned doublings) {
  auto delay = std::min(base, cap);
  for (; doublings > 0 && delay < cap; --doublings) delay = delay > cap / 2 ? cap : delay * 2;
  return delay;
}

duration decorrelated(const restart_policy& policy, const restart_facts& facts) {
  auto least = std::min(policy.base, policy.cap);
  auto before = std::max(facts.last_delay, least);
  auto most = before > policy.cap / 3 ? policy.cap : before * 3;
  return least + times(most - least, unit(facts.random));
}

/// The delay after the `nth` failure that is not answered at once, counted from 1.
duration delay_of(const restart_policy& policy, unsigned nth, const restart_facts& facts) {
  if (policy.base <= duration{}) return {};
  switch (policy.curve) {
    case restart_curve::fixed:
      return spread(std::min(policy.base, policy.cap), policy.jitter, facts.random);
    case restart_curve::linear:
      return spread(std::min(times(policy.base, nth), policy.cap), policy.jitter, facts.random);
    case restart_curve::exponential:
      return spread(doubled(policy.base, policy.cap, nth - 1), policy.jitter, facts.random);
    case restart_curve::decorrelated:
      return decorrelated(policy, facts);
  }
  return {};
}

/// Failures within `period` of now, this one included. OTP counts one just as old as the period in.
unsigned count_recent(const restart_facts& facts, duration period) {
  auto recent = [&](time_point t) { return facts.now - t <= period; };
  return static_cast<unsigned>(std::ranges::count_if(facts.window, recent)) + 1;
}

/// How many failures the policy, with its rules, may still have to count.
unsigned memorable(const restart_policy& policy, const restart_facts& facts) {
  unsigned most = 0;
  if (policy.intensity)
    most = std::min(count_recent(facts, policy.period),
                    std::max(*policy.intensity, *policy.intensity + 1));
  for (auto& rule : policy.rules) most = std::max(most, memorable(rule.answer, facts));
  return most;
}

restart_decision beyond(const restart_policy& policy, const restart_facts& facts,
                        restart_decision d) {
  switch (policy.then) {
    case restart_end::give_up:
      d.next = verdict::given_up;
      break;
    case restart_end::escalate:
      d.next = verdict::escalated;
      break;
    case restart_end::half_open:
      d.next = verdict::trial;
      d.delay = spread(policy.trial_every, policy.jitter, facts.random);
      break;
  }
  return d;
}

}  // namespace

restart_decision decide_restart(const restart_policy& whole, const restart_facts& facts) noexcept {
  auto& policy = whole.answer_to(facts.cause, facts.how);
  bool healthy = facts.was_ready && facts.ready_for >= policy.healthy_after;
  bool done = facts.cause == exit_cause::finished && policy.type != restart_type::permanent;
  bool failed = own_doing(facts) && !done;
  restart_decision d;
  d.failures = healthy ? 0 : facts.failures;
  if (failed && !healthy && d.failures < std::numeric_limits<unsigned>::max()) ++d.failures;

  if (finished(policy.type, facts)) {
    d.next = verdict::finished;
    return d;
  }
  bool trial = facts.half_open && !healthy;
  if (!failed) {
    if (trial) d.next = verdict::trial;
    return d;
  }
  if (trial && policy.intensity && policy.then == restart_end::half_open)
    return beyond(policy, facts, d);
  if (!healthy && d.failures > policy.immediate)
    d.delay = delay_of(policy, d.failures - policy.immediate, facts);
  auto recent = count_recent(facts, policy.period);
  if (policy.intensity && recent > *policy.intensity) {
    d.window = recent;
    return beyond(policy, facts, d);
  }
  d.window = memorable(whole, facts);
  return d;
}

namespace {

/// From one token to the next.
duration interval(const start_rate& rate) {
  return duration(static_cast<duration::rep>(std::ceil(1e9 / std::max(rate.per_second, 1e-3))));
}

}  // namespace

time_point next_start(const start_budget& budget, const start_rate& rate, unsigned target,
                      unsigned ahead, time_point now) noexcept {
  auto burst = rate.burst ? rate.burst : std::max(100u, 2 * target);
  auto token = interval(rate);
  return std::max(now, budget.repaid + token * (static_cast<duration::rep>(ahead) + 1) -
                           token * static_cast<duration::rep>(burst));
}

start_budget take_start(const start_budget& budget, const start_rate& rate,
                        time_point now) noexcept {
  start_budget after;
  after.repaid = std::max(budget.repaid, now) + interval(rate);
  return after;
}

}  // namespace supervisor
