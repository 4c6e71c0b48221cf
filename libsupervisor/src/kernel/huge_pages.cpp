#include "kernel/huge_pages.hpp"

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <string>

namespace supervisor::kernel {

namespace {

constexpr int collapse = 25;  // MADV_COLLAPSE, which glibc 2.36 does not know

/// MADV_COLLAPSE itself goes by none of these settings, madvise(2).
bool wanted() {
  std::ifstream setting("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string choices;
  return std::getline(setting, choices) && choices.find("[never]") == choices.npos;
}

/// Of a mapping that is touched here and there, each huge page would take memory it does not use.
bool worthwhile(std::size_t size, std::size_t touched) {
  constexpr std::size_t least = 4 << 20;
  return touched >= least && touched >= size / 2;
}

}  // namespace

void collapse_memory() noexcept try {
  if (!wanted()) return;
  std::ifstream maps("/proc/self/smaps");  // proc_pid_smaps(5)
  std::uintptr_t start = 0, end = 0;
  bool anonymous = false;
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t from, to;
    char access[5];
    unsigned long inode;
    std::size_t touched;
    if (std::sscanf(line.c_str(), "%zx-%zx %4s %*x %*s %lu", &from, &to, access, &inode) == 4) {
      start = from;
      end = to;
      anonymous = inode == 0 && std::string(access) == "rw-p";
    } else if (anonymous && std::sscanf(line.c_str(), "Rss: %zu kB", &touched) == 1 &&
               worthwhile(end - start, touched * 1024)) {
      madvise(reinterpret_cast<void*>(start), end - start, collapse);
    }
  }
} catch (const std::exception&) {
  // Out of memory: then rather none on huge pages.
}

}  // namespace supervisor::kernel
