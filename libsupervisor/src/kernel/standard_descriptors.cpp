#include "kernel/standard_descriptors.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace supervisor::kernel {

void fill_standard_descriptors() noexcept {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd)
    // open(2) takes the lowest free number: this one, as those below it are open by now.
    if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", O_RDWR) < 0) return;
}

}  // namespace supervisor::kernel
