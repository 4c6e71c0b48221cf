#include "kernel/descriptors.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>

#include <algorithm>
#include <climits>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "kernel/error.hpp"
#include "kernel/signal_mask.hpp"

namespace supervisor::kernel {

namespace {

int open_file(const char* path, int flags, mode_t mode = 0) noexcept {
  return uninterrupted([=] { return ::open(path, flags | O_CLOEXEC, mode); });
}

/// O_NONBLOCK belongs to the open file description: an end set so leaves the other end alone.
void set_nonblocking(int fd, bool on) {
  int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0)
    throw_errno("fcntl");
}

unique_fd checked(int fd, const std::string& what) {
  if (fd < 0) throw_errno(what);
  return unique_fd(fd);
}

}  // namespace

unique_fd duplicate(int fd) { return checked(::fcntl(fd, F_DUPFD_CLOEXEC, 0), "dup"); }

ends make_output_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) < 0) throw_errno("pipe");
  ends both{unique_fd(fds[0]), unique_fd(fds[1])};
  set_nonblocking(both.ours.get(), true);
  return both;
}

ends make_wakeup_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0) throw_errno("pipe");
  return {unique_fd(fds[0]), unique_fd(fds[1])};
}

ends make_channel() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) throw_errno("socketpair");
  ends both{unique_fd(fds[0]), unique_fd(fds[1])};
  set_nonblocking(both.ours.get(), true);
  return both;
}

std::pair<unique_fd, std::string> make_notify_socket() {
  auto fd = checked(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket");
  int on = 1;
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0)
    throw_errno("SO_PASSCRED");
  // Autobind, unix(7): an address of the family alone.
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof(sa_family_t);
  if (::bind(fd.get(), generic, size) < 0) throw_errno("bind");
  size = sizeof address;
  if (::getsockname(fd.get(), generic, &size) < 0) throw_errno("getsockname");
  auto length = size - offsetof(sockaddr_un, sun_path);
  std::string name(address.sun_path, length);
  name.front() = '@';  // the abstract namespace's NUL
  return {std::move(fd), std::move(name)};
}

unique_fd make_memory(const char* name, std::size_t size) {
  auto fd = checked(::memfd_create(name, MFD_CLOEXEC), "memfd_create");
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) < 0) throw_errno("ftruncate");
  return fd;
}

unique_fd make_fixed_memory(const char* name, std::size_t size) {
  auto fd = checked(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create");
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) < 0) throw_errno("ftruncate");
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW) < 0)
    throw_errno("F_ADD_SEALS");
  return fd;
}

std::size_t size_of_memory(int memory) {
  struct stat info;
  if (::fstat(memory, &info) < 0) throw_errno("fstat");
  return static_cast<std::size_t>(info.st_size);
}

void* map_shared(int memory, std::size_t size) {
  void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  if (at == MAP_FAILED) throw_errno("mmap");
  return at;
}

void unmap(void* at, std::size_t size) noexcept { ::munmap(at, size); }

unique_fd make_timer() {
  return checked(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create");
}

void set_timer(int timer, time_point when) noexcept {
  itimerspec at{};
  if (when != never) {
    // Zero would disarm it; a time that has passed fires at once.
    auto count = std::max<std::int64_t>(when.time_since_epoch().count(), 1);
    at.it_value.tv_sec = count / 1'000'000'000;
    at.it_value.tv_nsec = count % 1'000'000'000;
  }
  ::timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, nullptr);
}

void clear_timer(int timer) noexcept {
  std::uint64_t expirations;
  [[maybe_unused]] auto ignored = ::read(timer, &expirations, sizeof expirations);
}

unique_fd open_null() { return checked(open_file("/dev/null", O_RDWR), "/dev/null"); }

unique_fd open_output_file(const std::string& path) {
  auto fd = checked(
      open_file(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY, 0640), path);
  set_nonblocking(fd.get(), false);
  return fd;
}

unique_fd pin_program(const std::string& path) {
  return checked(open_file(path.c_str(), O_PATH), path);
}

rlimit descriptor_limit() noexcept {
  rlimit present{};
  if (::getrlimit(RLIMIT_NOFILE, &present) < 0) return {RLIM_INFINITY, RLIM_INFINITY};
  return present;
}

void close_inherited() noexcept {
  auto* all = ::opendir("/proc/self/fd");
  if (!all) return;
  while (auto* entry = ::readdir(all)) {
    int fd = std::atoi(entry->d_name);
    int flags = fd > STDERR_FILENO ? ::fcntl(fd, F_GETFD) : FD_CLOEXEC;
    if (flags >= 0 && !(flags & FD_CLOEXEC)) ::close(fd);  // what is ours goes with an exec
  }
  ::closedir(all);
}

void close_between(unsigned first, unsigned last) noexcept {
  if (first > last || ::syscall(SYS_close_range, first, last, 0) == 0) return;
  // A container's seccomp profile may not know the call.
  rlimit most{};
  ::getrlimit(RLIMIT_NOFILE, &most);
  for (unsigned fd = first; fd <= last && fd < most.rlim_cur; ++fd) ::syscall(SYS_close, fd);
}

rlimit raise_descriptor_limit() noexcept {
  static auto before = descriptor_limit();
  auto now = descriptor_limit();
  if (now.rlim_cur != now.rlim_max) before = now;  // else that may be our own doing
  rlimit raised{now.rlim_max, now.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &raised);  // a soft limit may always go up to the hard one
  return before;
}

namespace {

bool wait_for(int fd, short event, duration limit) noexcept {
  auto deadline = later(std::chrono::steady_clock::now(), limit);
  for (;;) {
    auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    auto wait = deadline == never ? -1 : std::clamp<std::int64_t>(left.count(), 0, INT_MAX);
    pollfd waited{fd, event, 0};
    int ready = ::poll(&waited, 1, static_cast<int>(wait));
    if (ready >= 0 || errno != EINTR) return ready == 1;
  }
}

}  // namespace

bool wait_readable(int fd, duration limit) noexcept { return wait_for(fd, POLLIN, limit); }
bool wait_writable(int fd, duration limit) noexcept { return wait_for(fd, POLLOUT, limit); }

unique_fd open_unblocked(int fd) noexcept {
  struct stat info;
  if (::fstat(fd, &info) != 0 || !(S_ISFIFO(info.st_mode) || S_ISCHR(info.st_mode))) return {};
  char path[32];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return unique_fd(open_file(path, O_WRONLY | O_NONBLOCK | O_NOCTTY));
}

namespace {

/// What SIGPIPE does is the program's own affair. Signals are blocked; the one that this thread has
/// brought upon itself is taken back.
ssize_t write_without_sigpipe(int fd, std::string_view text) noexcept {
  sigset_t pending;
  ::sigpending(&pending);
  ssize_t written = ::write(fd, text.data(), text.size());
  if (written >= 0 || errno != EPIPE || ::sigismember(&pending, SIGPIPE) == 1) return written;
  sigset_t ours;
  ::sigemptyset(&ours);
  ::sigaddset(&ours, SIGPIPE);
  const timespec at_once{};
  ::sigtimedwait(&ours, nullptr, &at_once);
  errno = EPIPE;
  return written;
}

}  // namespace

bool write_now(int fd, std::string_view text) noexcept {
  // In the background a terminal may answer a write with TTOU. Where that is caught, the write is
  // restarted after the handler, for ever; where it is blocked, the kernel lets it pass.
  blocked_signals meanwhile;
  // A pipe that polls writable takes PIPE_BUF (4096) bytes whole without waiting, pipe(7).
  constexpr std::size_t whole = 4096;
  while (!text.empty()) {
    pollfd writable{fd, POLLOUT, 0};
    if (::poll(&writable, 1, 0) != 1 || !(writable.revents & POLLOUT)) return false;
    auto part = text.substr(0, whole);
    ssize_t written = ::send(fd, part.data(), part.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (written < 0 && errno == ENOTSOCK) written = write_without_sigpipe(fd, part);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace supervisor::kernel
