// What is done to a policy by chance.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "supervisor/simulation.hpp"

namespace supervisor {

struct disturbance {
  enum class kind : std::uint8_t { nothing, kill, launch, signal, stall, turn, restart };
  kind what = kind::nothing;
  duration after{};          ///< the one before
  std::uint64_t chance = 0;  ///< decides what the kind leaves open
};

/// All of one run, from its seed. Each is drawn for itself: one that is left
/// out changes none.
std::vector<disturbance> draw_disturbances(std::uint64_t seed, const exploration&);

/// Does them to one simulation.
class disturber {
 public:
  /// Stands between `sim` and its on_launch. `tells`: somebody reads told(); words are dear.
  disturber(simulation& sim, const exploration& how, bool tells);

  void disturb(const disturbance&);
  /// Nothing of it is to come any more.
  void calm() { troubles_.clear(); }
  /// What was done, a line each.
  const std::string& told() const noexcept { return told_; }

 private:
  void kill(std::uint64_t chance);
  void trouble_launch(std::uint64_t chance);
  template <typename... Ts>
  void tell(fmt::format_string<Ts...> what, Ts&&... of_what);

  simulation& sim_;
  const exploration& how_;
  const bool tells_;
  std::deque<std::uint64_t> troubles_;  ///< of the launches to come
  std::string told_;
};

}  // namespace supervisor
