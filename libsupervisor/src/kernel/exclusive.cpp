#include "kernel/exclusive.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#include "kernel/unique_fd.hpp"

namespace supervisor::kernel {

namespace {

/// The whole of a /proc/self/fdinfo file: of an epoll set, a line per descriptor in it.
std::string read_info(int directory, const char* name) {
  std::string text;
  unique_fd file(openat(directory, name, O_RDONLY | O_CLOEXEC));
  char part[4096];
  ssize_t size = sizeof part;
  while (file && size == sizeof part) {  // a short read is the last one
    size = read(file.get(), part, sizeof part);
    if (size > 0) text.append(part, static_cast<std::size_t>(size));
  }
  return text;
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
  std::unique_ptr<DIR, int (*)(DIR*)> infos(opendir("/proc/self/fdinfo"), closedir);
  registration found;
  while (const dirent* entry = infos ? readdir(infos.get()) : nullptr) {
    const int number = std::atoi(entry->d_name);
    if (number <= STDERR_FILENO) continue;  // stdio, "." and ".."
    if (!find_entry(read_info(dirfd(infos.get()), entry->d_name), fd, found.data)) continue;
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
