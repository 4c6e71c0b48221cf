#include "kernel/scheduling.hpp"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace supervisor::kernel {

namespace {

/// The kernel's sched_attr; glibc has none before 2.41, and then one of the same name.
struct attributes {
  std::uint32_t size = sizeof(attributes);
  std::uint32_t policy = 0;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime = 0;  // of SCHED_OTHER: the length of a turn, in ns
  std::uint64_t deadline = 0;
  std::uint64_t period = 0;
};

constexpr std::uint64_t reset_on_fork = 0x01;  // SCHED_FLAG_RESET_ON_FORK
constexpr std::uint64_t short_turn = 500'000;  // a few forks; the usual turn is 700'000 and more

}  // namespace

void ask_for_short_turns() noexcept {
  attributes now;
  if (::syscall(SYS_sched_getattr, 0, &now, sizeof now, 0) != 0) return;
  // A child of ours would lose a negative nice value as well.
  if (now.policy != SCHED_OTHER || now.nice < 0) return;
  now.flags |= reset_on_fork;
  now.runtime = short_turn;
  ::syscall(SYS_sched_setattr, 0, &now, 0);
}

}  // namespace supervisor::kernel
