// What somebody may have meant.
#pragma once

#include <algorithm>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

namespace app {

/// How many letters have to be put in, taken out, changed, or swapped with the next.
inline std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  std::iota(d[0].begin(), d[0].end(), 0);
  for (std::size_t i = 1; i <= a.size(); ++i)
    for (std::size_t j = 1; j <= b.size(); ++j) {
      d[i][j] =
          std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  return d.back().back();
}

/// The known word next to `word`; empty where none is near.
inline std::string nearest(std::string_view word, const std::vector<std::string>& known) {
  auto best = std::ranges::min_element(known, {}, [&](auto& k) { return distance(word, k); });
  bool near =
      best != known.end() && distance(word, *best) <= std::max<std::size_t>(1, word.size() / 3);
  return near ? *best : std::string();
}

}  // namespace app
