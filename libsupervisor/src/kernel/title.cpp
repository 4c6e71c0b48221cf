#include "kernel/title.hpp"

#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

namespace supervisor::kernel {

namespace {
char* area = nullptr;
std::size_t arguments_size = 0;  // of argv's strings, their last NUL included
std::size_t area_size = 0;       // with the environment behind them
}  // namespace

namespace {

/// argv's strings and the environment's, as the kernel laid them out (proc_pid_stat(5), fields 48
/// to 51); argv itself may have been permuted or shortened by who parsed it.
bool find_area() {
  std::ifstream stat("/proc/self/stat");
  std::string text;
  std::getline(stat, text);
  // Field 2, the name, may hold anything, but it ends with the last parenthesis.
  std::istringstream fields(text.substr(text.rfind(')') + 1));
  for (int field = 3; field < 48; ++field) fields >> text;
  std::uintptr_t arguments = 0, arguments_end = 0, environment = 0, environment_end = 0;
  fields >> arguments >> arguments_end >> environment >> environment_end;
  if (!fields || arguments == 0 || arguments_end <= arguments) return false;
  arguments_size = arguments_end - arguments;
  area_size = environment == arguments_end ? environment_end - arguments : arguments_size;
  area = reinterpret_cast<char*>(arguments);
  return true;
}

}  // namespace

void take_title_area() {
  if (area || !find_area()) return;
  std::size_t count = 0;
  while (environ && environ[count]) ++count;
  // Lives as long as the process, as getenv's callers expect.
  auto** copy = new char*[count + 1];
  for (std::size_t i = 0; i < count; ++i) copy[i] = strdup(environ[i]);
  copy[count] = nullptr;
  environ = copy;
}

void set_title(std::string_view title) noexcept {
  if (!area) return;
  const std::size_t length = std::min(title.size(), area_size - 1);
  std::memcpy(area, title.data(), length);
  std::memset(area + length, 0, area_size - length);
  // /proc/PID/cmdline is cut at the first NUL, instead of being argv's whole length, when argv's
  // last byte is not NUL (get_mm_cmdline in fs/proc/base.c, made for setproctitle).
  if (length + 1 < arguments_size) area[arguments_size - 1] = '.';
}

void set_short_name(const char* name) noexcept { prctl(PR_SET_NAME, name); }

}  // namespace supervisor::kernel
