#include "kernel/exclusive.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>

#include "kernel/unique_fd.hpp"

namespace supervisor::kernel {

namespace {

/// The whole of /proc/self/fdinfo/N: of an epoll set, a line per descriptor in it.
std::string read_info(int number) {
  std::string text;
  auto path = "/proc/self/fdinfo/" + std::to_string(number);
  unique_fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char part[4096];
  ssize_t size = sizeof part;
  while (file && size == sizeof part) {  // a short read is the last one
    size = read(file.get(), part, sizeof part);
    if (size > 0) text.append(part, static_cast<std::size_t>(size));
  }
  return text;
}

/// Is `number` an epoll set that has `fd`? Adding it says EEXIST then, and EINVAL to what is no
/// epoll set, epoll_ctl(2): far cheaper than to read what proc says of every descriptor.
bool holds(int number, int fd) {
  epoll_event nothing{};
  if (epoll_ctl(number, EPOLL_CTL_ADD, fd, &nothing) != 0) return errno == EEXIST;
  epoll_ctl(number, EPOLL_CTL_DEL, fd, &nothing);
  return false;
}

/// The data of the line "tfd:        5 events: 8000001b data: 55d0c0ffee00 ..." of `fd`.
bool find_entry(const std::string& info, int fd, std::uint64_t& data) {
  for (auto at = info.find("tfd:"); at != info.npos; at = info.find("tfd:", at + 1)) {
    int target = -1;
    unsigned events = 0;
    unsigned long long value = 0;
    if (std::sscanf(info.c_str() + at, "tfd: %d events: %x data: %llx", &target, &events, &value) ==
            3 &&
        target == fd) {
      data = value;
      return true;
    }
  }
  return false;
}

}  // namespace

registration take_over(int fd) noexcept try {
  constexpr int most = 1024;  // a worker's reactor is among the first that it opens
  registration found;
  for (int number = STDERR_FILENO + 1; number < most; ++number) {
    if (!holds(number, fd) || !find_entry(read_info(number), fd, found.data)) continue;
    found.epoll = number;
    dismiss(found, fd);
    break;
  }
  return found;
} catch (const std::bad_alloc&) {
  return {};
}

int admit(const registration& at, int fd) noexcept {
  if (at.epoll < 0) return 0;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET | EPOLLEXCLUSIVE;
  event.data.u64 = at.data;
  return epoll_ctl(at.epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

void dismiss(const registration& at, int fd) noexcept {
  if (at.epoll < 0) return;
  epoll_event ignored{};
  epoll_ctl(at.epoll, EPOLL_CTL_DEL, fd, &ignored);
}

}  // namespace supervisor::kernel
