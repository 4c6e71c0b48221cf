// Worker functions of the tests: registered by the file that uses them.
#pragma once

#include <vector>

#include "supervisor/supervisor.hpp"

namespace test {

inline std::vector<supervisor::worker_function>& functions() {
  static std::vector<supervisor::worker_function> all;
  return all;
}

/// At namespace scope: `const test::function echo{"echo", serve_echo};`
struct function {
  template <typename... Arguments>
  explicit function(Arguments&&... arguments) {
    functions().emplace_back(std::forward<Arguments>(arguments)...);
  }
};

}  // namespace test
