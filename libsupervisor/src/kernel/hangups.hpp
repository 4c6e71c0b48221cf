// Descriptors that are held for others: which are the same, and which have come to their end.
#pragma once

#include <cstdint>
#include <optional>

#include "kernel/unique_fd.hpp"

namespace supervisor::kernel {

/// Do both mean one open file, kcmp(2)? Where that may not be asked, they do if the file is the
/// same and open in the same way; unless it is of the kind of which all look alike (eventfd).
bool same_file(int one, int other) noexcept;

/// An epoll set that is readable when a descriptor in it has an error, or the other side of it is
/// gone: EPOLLERR and EPOLLHUP come unasked, and nothing else wakes anybody. Throws system_error.
unique_fd make_hangup_set();
/// False: that is not told of such a file (a memfd), or there is no room.
bool watch_hangup(int set, int fd, std::uint64_t key) noexcept;
/// Before `fd` is closed: the set would go on as long as others have the file open.
void forget_hangup(int set, int fd) noexcept;
/// The key of one that has come to its end, and is to be forgotten.
std::optional<std::uint64_t> next_hangup(int set) noexcept;

}  // namespace supervisor::kernel
