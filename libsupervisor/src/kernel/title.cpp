#include "kernel/title.hpp"

#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace supervisor::kernel {

namespace {
char* area = nullptr;
std::size_t arguments_size = 0;  // of argv's strings, their last NUL included
std::size_t area_size = 0;       // with the environment behind them
}  // namespace

void take_title_area(int argc, char** argv) {
  if (area || argc < 1 || !argv[0]) return;
  char* end = argv[0];
  for (int i = 0; i < argc; ++i)
    if (argv[i] == end) end = argv[i] + std::strlen(argv[i]) + 1;
  arguments_size = static_cast<std::size_t>(end - argv[0]);
  for (char** entry = environ; entry && *entry; ++entry)
    if (*entry == end) end = *entry + std::strlen(*entry) + 1;

  std::size_t count = 0;
  while (environ && environ[count]) ++count;
  // Lives as long as the process, as getenv's callers expect.
  auto** copy = new char*[count + 1];
  for (std::size_t i = 0; i < count; ++i) copy[i] = strdup(environ[i]);
  copy[count] = nullptr;
  environ = copy;
  area_size = static_cast<std::size_t>(end - argv[0]);
  area = argv[0];
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
