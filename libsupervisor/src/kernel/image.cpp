#include "kernel/image.hpp"

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace supervisor::kernel {

void release_image() noexcept {
  auto release = [](dl_phdr_info* object, std::size_t, void*) {
    auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    for (int i = 0; i < object->dlpi_phnum; ++i) {
      auto& segment = object->dlpi_phdr[i];
      // What is writable, or was while it was relocated, is in no file any more.
      if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W)) continue;
      auto begin = (object->dlpi_addr + segment.p_vaddr) & ~(page - 1);
      auto end = (object->dlpi_addr + segment.p_vaddr + segment.p_memsz) & ~(page - 1);
      if (end > begin) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
    }
    return 0;
  };
  ::dl_iterate_phdr(release, nullptr);
}

}  // namespace supervisor::kernel
