#include "kernel/hangups.hpp"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "kernel/error.hpp"

namespace supervisor::kernel {

bool same_file(int one, int other) noexcept {
  auto self = ::getpid();
  if (long order = ::syscall(SYS_kcmp, self, self, KCMP_FILE, one, other); order >= 0)
    return order == 0;
  struct stat a{}, b{};
  if (::fstat(one, &a) != 0 || ::fstat(other, &b) != 0 || (a.st_mode & S_IFMT) == 0) return false;
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino &&
         ::fcntl(one, F_GETFL) == ::fcntl(other, F_GETFL);
}

unique_fd make_hangup_set() {
  int set = ::epoll_create1(EPOLL_CLOEXEC);
  if (set < 0) throw_errno("epoll_create1");
  return unique_fd(set);
}

bool watch_hangup(int set, int fd, std::uint64_t key) noexcept {
  epoll_event nothing_but_the_end{};
  nothing_but_the_end.data.u64 = key;
  return ::epoll_ctl(set, EPOLL_CTL_ADD, fd, &nothing_but_the_end) == 0;
}

void forget_hangup(int set, int fd) noexcept {
  epoll_event ignored{};
  ::epoll_ctl(set, EPOLL_CTL_DEL, fd, &ignored);
}

std::optional<std::uint64_t> next_hangup(int set) noexcept {
  epoll_event event{};
  if (::epoll_wait(set, &event, 1, 0) != 1) return {};
  return std::uint64_t{event.data.u64};  // a packed field, which binds to no reference
}

}  // namespace supervisor::kernel
