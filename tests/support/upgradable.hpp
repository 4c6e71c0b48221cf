// A master whose program can be replaced on disk.
#pragma once

#include <sys/stat.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "kernel/pidfd.hpp"
#include "kernel/title.hpp"
#include "support/app.hpp"

namespace test {

/// A program of its own on disk, and a master that was started from it.
class upgradable {
 public:
  explicit upgradable(const strings& arguments) : app_(with_file(arguments), path()) {}
  ~upgradable() { ::unsetenv("TEST_UNFIT"); }

  master& app() noexcept { return app_; }
  std::string path() const { return place_ / "prefork"; }

  /// As a deploy does: by a rename.
  void install(const std::string& program) const {
    std::filesystem::copy_file(program, path() + ".new");
    std::filesystem::rename(path() + ".new", path());
  }
  void install_unfit(const char* way) const {
    tell_unfit(way);
    install(TEST_UNFIT_PROGRAM);
  }
  /// One that hangs goes on in that way.
  void tell_unfit(const char* way) const {
    std::ofstream(place_ / "way.new") << way;
    std::filesystem::rename(place_ / "way.new", place_ / "way");
  }

  pid_t pid_of(const std::string& name = "prefork-master") const {
    for (auto pid : supervisor::kernel::children_of(app_.pid()))
      if (supervisor::kernel::short_name(pid) == name) return pid;
    return 0;
  }
  /// The file that a process runs, by its number; without a pid the master.
  ino_t runs(pid_t pid = 0) const {
    struct stat file{};
    ::stat(("/proc/" + std::to_string(pid ? pid : pid_of()) + "/exe").c_str(), &file);
    return file.st_ino;
  }
  ino_t on_disk() const {
    struct stat file{};
    ::stat(path().c_str(), &file);
    return file.st_ino;
  }

  /// Everything that must be the same afterwards.
  std::string shape() const {
    std::string all;
    auto status = app_.status();
    all += boost::json::serialize(status["master"].as_object()["main_pid"]) + '\n';
    for (auto& pool : status["pools"].as_array()) {
      for (auto* key : {"name", "generation", "target", "kept"})
        all += boost::json::serialize(pool.as_object()[key]) + ' ';
      for (auto& slot : pool.as_object()["slots"].as_array())
        for (auto* key : {"slot", "pid", "state", "generation", "restarts", "last_exit"})
          all += boost::json::serialize(slot.as_object()[key]) + ' ';
    }
    return all;
  }
  std::string last_upgrade() const {
    auto status = app_.status();
    auto& upgrade = status["master"].as_object()["upgrade"];
    return upgrade.is_object() ? std::string(upgrade.as_object()["end"].as_string()) : "none";
  }

  void end() {
    app_.signal(SIGTERM);
    BOOST_TEST(app_.finish().code == 0);
  }

 private:
  const strings& with_file(const strings& arguments) {
    install(TEST_PREFORK);
    ::setenv("TEST_UNFIT", (place_ / "way").c_str(), 1);
    return arguments;
  }

  temporary_directory place_;
  master app_;
};

}  // namespace test
