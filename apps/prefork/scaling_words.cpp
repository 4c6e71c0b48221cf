#include "scaling_words.hpp"

#include <fmt/format.h>

#include "values.hpp"

namespace app {

namespace {

namespace sup = supervisor;

template <typename Policy>
scaling by(unsigned first, Policy policy) {
  scaling result;
  result.first = first;
  result.run = [policy](sup::supervisor& self, sup::pool p) { return scale(self, p, policy); };
  return result;
}

sup::spare_workers spare_of(const std::string& option, const std::string& text, unsigned most) {
  auto dash = text.find('-');
  auto least = number_of<unsigned>(std::string_view(text).substr(0, dash));
  auto after = dash == text.npos ? std::string_view() : std::string_view(text).substr(dash + 1);
  auto upper = number_of<unsigned>(after);
  if (!least || !upper || *least < 1 || *least > *upper)
    complain(fmt::format("{}: \"spare:{}\" is not spare:MIN-MAX, such as spare:2-4", option, text));
  if (*least > most)
    complain(
        fmt::format("{}: {} idle workers are more than the {} there may be", option, *least, most));
  sup::spare_workers policy;
  policy.min_spare = policy.least = *least;
  policy.max_spare = *upper;
  policy.most = most;
  return policy;
}

}  // namespace

scaling scaling_of(const std::string& option, const std::string& text, unsigned most) {
  auto colon = text.find(':');
  auto kind = text.substr(0, colon);
  auto rest = colon == text.npos ? std::string() : text.substr(colon + 1);
  bool bare = colon == text.npos;
  if (kind == "static" && bare) {
    scaling result;
    result.first = most;
    return result;
  }
  if (kind == "spare" && !bare) {
    auto policy = spare_of(option, rest, most);
    return by(policy.least, policy);
  }
  if (kind == "demand") {
    sup::on_demand policy;
    policy.most = most;
    if (!bare) policy.idle_for = duration_of(option, rest);
    return by(0, policy);
  }
  if (kind == "backlog") {
    sup::by_backlog policy;
    policy.most = most;
    auto depth = bare ? std::optional(0u) : number_of<unsigned>(rest);
    if (depth) {
      policy.depth = *depth;
      return by(policy.least, policy);
    }
  }
  complain(fmt::format("{}: \"{}\" is not static, spare:MIN-MAX, demand[:TIME] or backlog[:N]",
                       option, text));
}

}  // namespace app
