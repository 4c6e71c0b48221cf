// The file that a command is started from, as it was when its generation began.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "kernel/unique_fd.hpp"

namespace supervisor::kernel {

/// Holds an executable by its inode, so that what replaces it on the disk is for later generations.
/// Not a script: its interpreter opens it by its path. What cannot be opened is not held either;
/// executing it will say why.
class pinned_program {
 public:
  /// A path that is not absolute begins at `directory`, as it does for the child.
  pinned_program(std::string path, const std::string& directory);

  /// The same file, held by another process before.
  struct parts {
    std::string path, from_here;
    std::uint64_t device = 0, inode = 0;
  };
  pinned_program(parts, unique_fd file);
  parts tell() const { return {path_, from_here_, device_, inode_}; }
  int fd() const noexcept { return file_.get(); }

  const std::string& path() const noexcept { return path_; }
  /// What to execute instead of the path, where another file has that by now; else -1.
  int instead() const noexcept;

 private:
  std::string path_, from_here_;
  unique_fd file_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace supervisor::kernel
