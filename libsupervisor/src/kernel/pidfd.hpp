// Processes by descriptor: a pidfd names one process for ever, a number does not.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <boost/system/error_code.hpp>
#include <cstdint>
#include <optional>
#include <vector>

#include "kernel/unique_fd.hpp"
#include "supervisor/exit_report.hpp"

namespace supervisor::kernel {

/// Race-free for a child of ours that is not reaped. Throws system_error.
unique_fd open_pidfd(pid_t);
/// The same; empty, with errno, where there is none.
unique_fd try_pidfd(pid_t) noexcept;

boost::system::error_code send_signal(int pidfd, int number) noexcept;
/// To every process of the group. Only while its leader is an unreaped child, which pins the
/// number.
void kill_group(pid_t leader) noexcept;

/// How our child ended, and leaves it a zombie. Empty: it lives, or a tracer has still to let go.
/// `lost` where somebody else has reaped it.
std::optional<exit_status> peek_exit(int pidfd) noexcept;

struct obituary {
  exit_status status;
  rusage usage{};
};
/// The same, and ends the zombie.
std::optional<obituary> reap(int pidfd) noexcept;
/// The same, waiting for it; blocks, for the end of a program only. Empty when `limit` has passed.
std::optional<obituary> reap_within(int pidfd, duration limit) noexcept;

/// Children of the main thread of `parent` that are not reaped (needs CONFIG_PROC_CHILDREN).
std::vector<pid_t> children_of(pid_t parent);

/// Many pidfds as one descriptor, readable when any of them has news. Edge-triggered: each is told
/// once a change. Throws system_error.
unique_fd make_pidfd_set();
boost::system::error_code add_pidfd(int set, int pidfd, std::uint64_t token) noexcept;
void remove_pidfd(int set, int pidfd) noexcept;
/// The tokens of some that have news, without waiting; empty when there are no more.
std::vector<std::uint64_t> take_pidfds(int set);

}  // namespace supervisor::kernel
