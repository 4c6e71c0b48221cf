// The pages of this program that a process has mapped.
#pragma once

namespace supervisor::kernel {

/// Forgets the pages of the program and its libraries that can be read again from their files; what
/// is still needed comes back by itself. For a process that is to be small.
void release_image() noexcept;

}  // namespace supervisor::kernel
