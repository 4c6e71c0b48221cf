#include "restart_words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "values.hpp"

namespace app {

namespace {

namespace sup = supervisor;
using sup::exit_cause;

/// Where a text was found, for the words of a complaint.
struct place {
  const std::string& option;
  const std::string& whole;

  [[noreturn]] void complain_of(std::string_view part, std::string_view should_be) const {
    complain(fmt::format("{}: \"{}\" in \"{}\" is not {}", option, part, whole, should_be));
  }
};

std::vector<std::string> split(std::string_view text, char by) {
  std::vector<std::string> parts;
  for (;;) {
    auto at = text.find(by);
    parts.emplace_back(text.substr(0, at));
    if (at == text.npos) return parts;
    text.remove_prefix(at + 1);
  }
}

/// "a/b" is a and b; without the mark, b is empty.
std::pair<std::string, std::string> halves(const std::string& text, std::string_view mark) {
  auto at = text.find(mark);
  if (at == text.npos) return {text, {}};
  return {text.substr(0, at), text.substr(at + mark.size())};
}

sup::duration time_in(const place& where, std::string_view word, const std::string& text) {
  auto value = parse_duration(text);
  if (!value) where.complain_of(word, "with a duration: seconds, or 500ms, 1.5s, 2m");
  return *value;
}

template <typename Number>
Number number_in(const place& where, std::string_view word, const std::string& text,
                 std::string_view should_be) {
  auto value = number_of<Number>(text);
  if (!value) where.complain_of(word, should_be);
  return *value;
}

// --- causes

constexpr std::array<std::pair<std::string_view, exit_cause>, 8> cause_words{
    {{"clean", exit_cause::finished},
     {"oom", exit_cause::out_of_memory},
     {"hang", exit_cause::hang},
     {"probe", exit_cause::probe},
     {"request-timeout", exit_cause::request_timeout},
     {"boot-timeout", exit_cause::boot_timeout},
     {"launch", exit_cause::launch_failure},
     {"dependency", exit_cause::dependency}}};

sup::causes exits_in(const place& where, const std::string& word, const std::string& codes) {
  constexpr std::string_view form = "exit=N or exit=N..M, with codes from 0 to 255";
  auto [first, last] = halves(codes, "..");
  auto from = number_in<unsigned>(where, word, first, form);
  auto to = first == codes ? from : number_in<unsigned>(where, word, last, form);
  if (from > to || to > 255) where.complain_of(word, form);
  return sup::causes::exit_codes(static_cast<int>(from), static_cast<int>(to));
}

sup::causes cause_in(const place& where, const std::string& word) {
  auto [name, value] = halves(word, "=");
  if (name == "exit") return exits_in(where, word, value);
  if (name == "signal" && !value.empty())
    return sup::causes::signal(signal_of(where.option, value));
  if (word == "signal") return sup::causes::any_signal();
  if (word == "any") return sup::causes::any();
  auto known = std::ranges::find(cause_words, word, &decltype(cause_words)::value_type::first);
  if (known == cause_words.end())
    where.complain_of(word,
                      "a cause: exit=N..M, signal, signal=SEGV, clean, oom, hang, probe, "
                      "request-timeout, boot-timeout, launch, dependency or any");
  return sup::causes::of(known->second);
}

// --- policies

/// "1s..60s"; one time alone is both.
std::pair<sup::duration, sup::duration> range_in(const place& where, const std::string& word,
                                                 const std::string& value) {
  auto [first, last] = halves(value, "..");
  auto from = time_in(where, word, first);
  auto to = first == value ? from : time_in(where, word, last);
  if (to < from) where.complain_of(word, "from less to more");
  return {from, to};
}

void read_limit(const place& where, const std::string& word, sup::restart_policy& policy) {
  auto [name, value] = halves(word, "=");
  if (value.empty() && name == "give-up") return void(policy.give_up());
  if (value.empty() && name == "escalate") return void(policy.escalate());
  auto parts = split(value, '/');
  bool trials = name == "half-open";
  if (parts.size() != (trials ? 3u : 2u))
    where.complain_of(word, trials ? "half-open=N/TIME/EVERY" : name + "=N/TIME");
  auto most = number_in<unsigned>(where, word, parts[0], "with a number of failures first");
  auto within = time_in(where, word, parts[1]);
  if (within == sup::duration{}) where.complain_of(word, "possible within no time");
  if (trials) {
    policy.half_open(most, within, time_in(where, word, parts[2]));
    if (policy.trial_every == sup::duration{})
      where.complain_of(word, "with a time between trials");
  } else if (name == "give-up") {
    policy.give_up(most, within);
  } else {
    policy.escalate(most, within);
  }
}

/// The curves; an immediate=N counts wherever it stands.
bool read_curve(const place& where, const std::string& word, sup::restart_policy& policy) {
  auto [name, value] = halves(word, "=");
  if (name != "backoff" && name != "linear" && name != "decorrelated" && name != "fixed")
    return false;
  auto [first, most] = range_in(where, word, value);
  if (name == "backoff") policy.exponential(first, most);
  if (name == "linear") policy.linear(first, most);
  if (name == "decorrelated") policy.decorrelated(first, most);
  if (name == "fixed") policy.fixed(first);
  return true;
}

void read_word(const place& where, const std::string& word, sup::restart_policy& policy,
               std::optional<unsigned>& immediate) {
  auto [name, value] = halves(word, "=");
  if (word == "permanent") {
    policy.permanent();
  } else if (word == "transient") {
    policy.transient();
  } else if (word == "temporary") {
    policy.temporary();
  } else if (name == "give-up" || name == "half-open" || name == "escalate") {
    read_limit(where, word, policy);
  } else if (name == "jitter") {
    policy.jitter = number_in<double>(where, word, value, "jitter=F, from 0 to 1");
    if (!(policy.jitter >= 0 && policy.jitter <= 1)) where.complain_of(word, "from 0 to 1");
  } else if (name == "immediate") {
    immediate = number_in<unsigned>(where, word, value, "immediate=N");
  } else if (name == "healthy") {
    policy.healthy(time_in(where, word, value));
  } else if (!read_curve(where, word, policy)) {
    where.complain_of(word,
                      "a word: permanent, transient, temporary, backoff=T..T, linear=T..T, "
                      "decorrelated=T..T, fixed=T, immediate=N, jitter=F, healthy=T, give-up=N/T, "
                      "half-open=N/T/EVERY or escalate=N/T");
  }
}

void read_policy(const place& where, std::string_view words, sup::restart_policy& policy) {
  std::optional<unsigned> immediate;
  for (auto& word : split(words, ',')) read_word(where, word, policy, immediate);
  if (immediate) policy.immediate = *immediate;
}

}  // namespace

sup::restart_policy restart_of(const std::string& option, const std::vector<std::string>& texts) {
  sup::restart_policy policy;
  std::vector<sup::restart_rule> rules;
  for (auto& text : texts) {
    place where{option, text};
    auto colon = text.find(':');
    if (colon == text.npos) {
      policy = {};
      read_policy(where, text, policy);
      continue;
    }
    sup::causes when;
    for (auto& word : split(std::string_view(text).substr(0, colon), '+'))
      when = when | cause_in(where, word);
    sup::restart_policy answer;
    read_policy(where, std::string_view(text).substr(colon + 1), answer);
    rules.emplace_back(when, std::move(answer));
  }
  policy.rules = std::move(rules);
  return policy;
}

sup::start_rate start_rate_of(const std::string& option, const std::string& text) {
  auto [rate, burst] = halves(text, "/");
  auto per_second = number_of<double>(rate);
  auto at_once = burst.empty() ? 0 : number_of<unsigned>(burst).value_or(0);
  bool good = per_second && *per_second >= 0.001 && *per_second <= 1e6;
  if (!good || (at_once == 0 && text.find('/') != text.npos))
    complain(
        fmt::format("{}: \"{}\" is not starts a second, such as 20, or 20/50 for at most 50 "
                    "at once",
                    option, text));
  sup::start_rate result;
  result.per_second = *per_second;
  result.burst = at_once;
  return result;
}

}  // namespace app
