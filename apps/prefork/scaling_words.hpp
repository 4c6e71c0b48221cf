// How a scaling policy is written down: "spare:2-4", "demand:10s", "backlog:5".
#pragma once

#include <functional>
#include <string>

#include "supervisor/scaling.hpp"

namespace app {

/// What `--scale` and `--workers` say together.
struct scaling {
  unsigned first = 0;  ///< workers to begin with
  /// Scales the pool; empty: it stays as it is.
  std::function<boost::asio::awaitable<void>(supervisor::supervisor&, supervisor::pool)> run;
};
/// `most`: what `--workers` says. Throws std::invalid_argument.
scaling scaling_of(const std::string& option, const std::string& text, unsigned most);

}  // namespace app
