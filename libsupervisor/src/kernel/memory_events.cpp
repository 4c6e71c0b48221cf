#include "kernel/memory_events.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <string>
#include <string_view>
#include <utility>

namespace supervisor::kernel {

namespace {

/// No stream of the library's: theirs may leak into a child that another thread makes.
std::string read_file(const char* path) {
  unique_fd file(::open(path, O_RDONLY | O_CLOEXEC));
  std::string text;
  char buffer[512];
  for (ssize_t size; file && (size = ::read(file.get(), buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<std::size_t>(size));
  return text;
}

std::string file_of_our_cgroup() {
  auto groups = '\n' + read_file("/proc/self/cgroup");
  auto at = groups.find("\n0::");
  if (at == groups.npos) return {};
  at += 4;
  return "/sys/fs/cgroup" + groups.substr(at, groups.find('\n', at) - at) + "/memory.events";
}

}  // namespace

memory_events::memory_events(std::string file) {
  if (file.empty()) file = file_of_our_cgroup();
  file_.reset(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  seen_ = count();
}

bool memory_events::kill_counted(std::chrono::steady_clock::time_point now) noexcept {
  auto before = std::exchange(seen_, count());
  if (seen_ > before) {
    unclaimed_ = seen_ - before;
    grown_at_ = now;
  }
  if (unclaimed_ == 0 || now - grown_at_ > std::chrono::seconds(1)) return false;
  --unclaimed_;
  return true;
}

std::uint64_t memory_events::count() const noexcept {
  char buffer[512];
  ssize_t size = file_ ? ::pread(file_.get(), buffer, sizeof buffer, 0) : -1;
  if (size <= 0) return 0;
  std::string_view text(buffer, static_cast<std::size_t>(size));
  constexpr std::string_view name = "oom_kill ";
  auto at = text.find(name);
  if (at == text.npos) return 0;
  std::uint64_t value = 0;
  std::from_chars(text.data() + at + name.size(), text.data() + text.size(), value);
  return value;
}

}  // namespace supervisor::kernel
