#include "kernel/lock_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>

#include "kernel/error.hpp"

namespace supervisor::kernel {

namespace {

std::string read_start(int fd) {
  char buffer[64];
  auto size = uninterrupted([&] { return ::pread(fd, buffer, sizeof buffer, 0); });
  return {buffer, size > 0 ? static_cast<std::size_t>(size) : 0};
}

/// The pid in `text`: 0 where it is empty, -1 where it is something else.
pid_t parse_pid(std::string_view text) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  if (text.empty()) return 0;
  pid_t pid = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  return error == std::errc() && end == text.data() + text.size() && pid > 0 ? pid : -1;
}

/// Whether `path` still names the file that `fd` is: its last holder may have removed it between
/// our open and our lock.
bool still_there(int fd, const std::string& path) {
  struct stat opened, named;
  return ::fstat(fd, &opened) == 0 && ::stat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

unique_fd open_regular(const std::string& path) {
  // O_NONBLOCK: a FIFO of that name must not stop us.
  constexpr int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  unique_fd fd(uninterrupted([&] { return ::open(path.c_str(), flags, 0600); }));
  if (!fd) throw_errno(path);
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) throw_errno(path);
  if (!S_ISREG(info.st_mode)) throw_errno(path + " is not a regular file", EEXIST);
  return fd;
}

}  // namespace

lock_file::lock_file(std::string path, pid_t holder) {
  unique_fd fd;
  do {
    fd = open_regular(path);
    if (uninterrupted([&] { return ::flock(fd.get(), LOCK_EX | LOCK_NB); }) != 0) {
      if (errno != EWOULDBLOCK) throw_errno(path);
      throw already_locked(path, std::max(parse_pid(read_start(fd.get())), 0));
    }
  } while (!still_there(fd.get(), path));
  if (parse_pid(read_start(fd.get())) < 0)
    throw_errno(path + " (which holds something else than a pid)", EEXIST);

  // Written over the old text, then cut: a reader never sees an empty file.
  auto text = std::to_string(holder) + '\n';
  auto size = static_cast<ssize_t>(text.size());
  auto write = [&] { return ::pwrite(fd.get(), text.data(), text.size(), 0); };
  auto cut = [&] { return ::ftruncate(fd.get(), size); };
  if (uninterrupted(write) != size || uninterrupted(cut) != 0) {
    int error = errno;
    ::unlink(path.c_str());
    throw_errno(path, error);
  }
  fd_ = std::move(fd);
  path_ = std::move(path);
}

lock_file::~lock_file() {
  // While the lock is held, so that it cannot be another's file by now.
  if (still_there(fd_.get(), path_)) ::unlink(path_.c_str());
}

}  // namespace supervisor::kernel
