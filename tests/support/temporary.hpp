// A directory for one test.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace test {

class temporary_directory {
 public:
  temporary_directory() {
    auto pattern = (std::filesystem::temp_directory_path() / "supervisor-XXXXXX").string();
    if (!::mkdtemp(pattern.data())) throw std::runtime_error("mkdtemp: " + pattern);
    path_ = pattern;
  }
  temporary_directory(const temporary_directory&) = delete;
  ~temporary_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::string& path() const noexcept { return path_; }
  std::string operator/(const std::string& name) const { return path_ + '/' + name; }

 private:
  std::string path_;
};

/// test_child where any user can reach it: the build tree may be below a home of mode 0700.
class public_child {
 public:
  public_child() {
    namespace fs = std::filesystem;
    fs::permissions(directory_.path(), fs::perms(0755));
    fs::copy_file(TEST_CHILD, program());
  }
  std::string program() const { return directory_ / "child"; }

 private:
  temporary_directory directory_;
};

}  // namespace test
