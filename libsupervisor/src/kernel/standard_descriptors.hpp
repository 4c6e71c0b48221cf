// stdin, stdout and stderr.
#pragma once

namespace supervisor::kernel {

/// Opens /dev/null for each that is closed: else the next descriptor made, a socket perhaps, would
/// get its number and what is written to stderr.
void fill_standard_descriptors() noexcept;

}  // namespace supervisor::kernel
