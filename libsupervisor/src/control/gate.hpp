// How a client wants a rollout to go, where that is not as ever.
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>

#include "supervisor/rollout.hpp"

namespace supervisor {

struct gate {
  gate() = default;
  std::optional<unsigned> canary, batch, max_unavailable;
  std::optional<duration> bake, progress_deadline;
  std::optional<probe> bake_check;

  /// The pool's own, but for what the client says.
  rollout_options over(rollout_options) const;
};

/// Takes its members out of a request's body. Throws std::invalid_argument, for the client.
gate take_gate(boost::json::object& body);
/// " canary 2 bake 30 s"; empty where it says nothing.
std::string describe(const gate&);

}  // namespace supervisor
