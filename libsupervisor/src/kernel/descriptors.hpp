// Descriptors: made CLOEXEC, counted, written to without waiting.
#pragma once

#include <sys/resource.h>

#include <string>
#include <string_view>
#include <utility>

#include "kernel/unique_fd.hpp"
#include "supervisor/time.hpp"

namespace supervisor::kernel {

struct ends {
  unique_fd ours;
  unique_fd theirs;
};

/// One more descriptor of the same open file. Throws system_error.
unique_fd duplicate(int fd);
/// A pipe; ours is the read end and does not block. All of these throw system_error.
ends make_output_pipe();
/// A pipe of which neither end waits; ours is the read end.
ends make_wakeup_pipe();
/// A SOCK_SEQPACKET pair; ours does not block.
ends make_channel();
/// The datagram socket of sd_notify(3), bound to an abstract address of the kernel's choice, which
/// comes back as NOTIFY_SOCKET spells it ("@00042"). Senders' credentials are passed.
std::pair<unique_fd, std::string> make_notify_socket();
/// A sparse shared memory of `size` bytes.
unique_fd make_memory(const char* name, std::size_t size);
/// The same, and nobody can change its size: who has it mapped is sure of that, memfd_create(2).
unique_fd make_fixed_memory(const char* name, std::size_t size);
std::size_t size_of_memory(int memory);          ///< throws system_error
void* map_shared(int memory, std::size_t size);  ///< throws system_error
void unmap(void*, std::size_t size) noexcept;
/// A timer on CLOCK_MONOTONIC, readable once the time it is set for has come.
unique_fd make_timer();
void set_timer(int timer, time_point when) noexcept;  ///< never: disarmed
void clear_timer(int timer) noexcept;                 ///< no longer readable

unique_fd open_null();
/// To append to. A FIFO that nobody reads is ENXIO at once, not a wait.
unique_fd open_output_file(const std::string& path);
/// An executable, held by its inode: what replaces the file on disk later does not matter.
unique_fd pin_program(const std::string& path);

/// Closes what this program has got from whoever executed it, but for stdin, stdout and stderr.
void close_inherited() noexcept;

/// Closes those from `first` to `last`. For a process that shares its memory, too: it makes system
/// calls only.
void close_between(unsigned first, unsigned last) noexcept;

/// Raises the soft limit of descriptors to the hard one; what it was before that was ever done
/// comes back.
rlimit raise_descriptor_limit() noexcept;
rlimit descriptor_limit() noexcept;

/// Waits for one descriptor, at most so long; for the end of a program, when no loop runs.
bool wait_readable(int fd, duration limit) noexcept;
/// The same, for room in a socket.
bool wait_writable(int fd, duration limit) noexcept;

/// The pipe or terminal behind `fd` opened once more, not to block: others who write to it may fill
/// it between our look and our write, and a terminal that has room for a byte makes one who brings
/// more wait for its reader. Empty where `fd` is something else, or may not be opened again.
unique_fd open_unblocked(int fd) noexcept;

/// Writes all of `text` if that can be done without waiting, as one line should be. False: nothing,
/// or the beginning only, was written.
bool write_now(int fd, std::string_view text) noexcept;

}  // namespace supervisor::kernel
