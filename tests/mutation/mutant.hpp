// What mutate.py writes into a source: each change behind a switch, so that one build has them all.
#pragma once

#include <bitset>
#include <cstdio>
#include <cstdlib>
#include <type_traits>
#include <utility>

namespace mutant {

/// Which change is made in this process, and which places were come by; one object of all sources.
class switches {
 public:
  static switches& all() {
    static switches one;
    return one;
  }
  bool on(unsigned id) noexcept {
    reached_.set(id);
    return id == chosen_;
  }

 private:
  static constexpr std::size_t most = 8192;
  switches() {
    if (const char* id = std::getenv("MUTANT")) chosen_ = static_cast<unsigned>(std::atoi(id));
  }
  ~switches() {
    const char* path = std::getenv("MUTANTS_REACHED");
    std::FILE* file = path ? std::fopen(path, "w") : nullptr;
    if (!file) return;
    for (std::size_t id = 0; id < most; ++id)
      if (reached_.test(id)) std::fprintf(file, "%zu\n", id);
    std::fclose(file);
  }

  unsigned chosen_ = 0;
  std::bitset<most> reached_;
};

inline bool on(unsigned id) noexcept { return switches::all().on(id); }

/// a && b, or with the change a || b: each side is asked for as often as there.
#define MUTANT_AND(id, a, b)                                                                 \
  (((static_cast<bool>(a) != mutant::on(id)) && (static_cast<bool>(b) != mutant::on(id))) != \
   mutant::on(id))
#define MUTANT_OR(id, a, b)                                                                  \
  (((static_cast<bool>(a) != mutant::on(id)) || (static_cast<bool>(b) != mutant::on(id))) != \
   mutant::on(id))
#define MUTANT_NOT(id, a) (static_cast<bool>(a) != mutant::on(id))

// Two changes each, of `id` and the next: at the border, and the other way round.
template <typename A, typename B>
bool less(unsigned id, const A& a, const B& b) {
  return on(id) ? a <= b : on(id + 1) ? a >= b : a < b;
}
template <typename A, typename B>
bool less_equal(unsigned id, const A& a, const B& b) {
  return on(id) ? a < b : on(id + 1) ? a > b : a <= b;
}
template <typename A, typename B>
bool greater(unsigned id, const A& a, const B& b) {
  return on(id) ? a >= b : on(id + 1) ? a <= b : a > b;
}
template <typename A, typename B>
bool greater_equal(unsigned id, const A& a, const B& b) {
  return on(id) ? a > b : on(id + 1) ? a < b : a >= b;
}

template <typename A, typename B>
auto plus(unsigned id, const A& a, const B& b) {
  return on(id) ? a - b : a + b;
}
template <typename A, typename B>
auto minus(unsigned id, const A& a, const B& b) {
  return on(id) ? a + b : a - b;
}
template <typename A, typename B>
auto times(unsigned id, const A& a, const B& b) {
  if constexpr (requires { a / b; })
    if constexpr (std::is_same_v<decltype(a * b), decltype(a / b)>) return on(id) ? a / b : a * b;
  return on(id) ? decltype(a * b){} : a * b;
}
template <typename A, typename B>
auto over(unsigned id, const A& a, const B& b) {
  if constexpr (requires { a* b; })
    if constexpr (std::is_same_v<decltype(a * b), decltype(a / b)>) return on(id) ? a * b : a / b;
  return on(id) ? decltype(a / b){} : a / b;
}
/// Division by a mutant's zero ends the process, which is found out.
template <typename A, typename B>
auto rest_of(unsigned id, const A& a, const B& b) {
  return on(id) ? decltype(a % b)(a / b) : a % b;
}
template <typename A>
A number(unsigned id, A a) {
  return on(id) ? static_cast<A>(a + 1) : on(id + 1) ? static_cast<A>(a - 1) : a;
}
template <typename A>
A least(unsigned id, const A& a, const std::type_identity_t<A>& b) {
  return on(id) == (b < a) ? a : b;
}
template <typename A>
A most(unsigned id, const A& a, const std::type_identity_t<A>& b) {
  return on(id) == (a < b) ? a : b;
}

}  // namespace mutant
