#include "simulation/own_command.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>

namespace supervisor {

std::string own_command() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string words((std::istreambuf_iterator<char>(file)), {});
  while (words.ends_with('\0')) words.pop_back();
  std::ranges::replace(words, '\0', ' ');
  return words.empty() ? "the test" : words;
}

}  // namespace supervisor
