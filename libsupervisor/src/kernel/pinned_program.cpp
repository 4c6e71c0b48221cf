#include "kernel/pinned_program.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace supervisor::kernel {

namespace {

bool is_script(const std::string& path) noexcept {
  unique_fd text(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  char start[2] = {};
  return text && ::read(text.get(), start, 2) == 2 && start[0] == '#' && start[1] == '!';
}

}  // namespace

pinned_program::pinned_program(std::string path, const std::string& directory)
    : path_(std::move(path)) {
  bool elsewhere = !directory.empty() && path_.rfind('/', 0) != 0;
  from_here_ = elsewhere ? directory + '/' + path_ : path_;
  struct stat file;
  if (::stat(from_here_.c_str(), &file) < 0 || !S_ISREG(file.st_mode) || is_script(from_here_))
    return;
  file_ = unique_fd(::open(from_here_.c_str(), O_PATH | O_CLOEXEC));
  if (!file_ || ::fstat(file_.get(), &file) < 0) return;
  device_ = file.st_dev;
  inode_ = file.st_ino;
}

pinned_program::pinned_program(parts was, unique_fd file)
    : path_(std::move(was.path)),
      from_here_(std::move(was.from_here)),
      file_(std::move(file)),
      device_(was.device),
      inode_(was.inode) {}

int pinned_program::instead() const noexcept {
  struct stat now;
  bool same =
      ::stat(from_here_.c_str(), &now) == 0 && now.st_dev == device_ && now.st_ino == inode_;
  return file_ && !same ? file_.get() : -1;
}

}  // namespace supervisor::kernel
