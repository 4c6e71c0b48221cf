// Huge pages for a process that is to be forked often.
#pragma once

namespace supervisor::kernel {

/// Puts what this process has touched of its heap and other large anonymous memory on huge pages: a
/// fork then copies one entry for each 2 MiB of it, instead of 512. Small memory stays as it is.
/// Best effort: needs Linux 6.1, and does nothing where the administrator wants no huge pages.
void collapse_memory() noexcept;

}  // namespace supervisor::kernel
