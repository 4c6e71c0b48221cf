#include "kernel/open_helper.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <array>
#include <csignal>
#include <cstring>

#include "kernel/descriptors.hpp"
#include "kernel/error.hpp"
#include "kernel/pidfd.hpp"
#include "kernel/signal_mask.hpp"
#include "kernel/sockets.hpp"

namespace supervisor::kernel {

namespace {

// The helper runs beside us in our memory, with our thread's errno: libc's wrappers would write to
// it at any time. Where we do not know the machine's system call it gets a copy of the memory.
#if defined(__x86_64__)
constexpr int memory = CLONE_VM;
[[gnu::always_inline, gnu::no_sanitize_address]] inline long call(long number, long a, long b = 0,
                                                                  long c = 0, long d = 0) noexcept {
  long result;
  register long fourth __asm__("r10") = d;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth)
                   : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
constexpr int memory = CLONE_VM;
[[gnu::always_inline, gnu::no_sanitize_address]] inline long call(long number, long a, long b = 0,
                                                                  long c = 0, long d = 0) noexcept {
  register long result __asm__("x0") = a;
  register long second __asm__("x1") = b;
  register long third __asm__("x2") = c;
  register long fourth __asm__("x3") = d;
  register long which __asm__("x8") = number;
  __asm__ volatile("svc 0"
                   : "+r"(result)
                   : "r"(second), "r"(third), "r"(fourth), "r"(which)
                   : "memory");
  return result;
}
#else
constexpr int memory = 0;
inline long call(long number, long a, long b = 0, long c = 0, long d = 0) noexcept {
  long result = ::syscall(number, a, b, c, d);
  return result < 0 ? -errno : result;
}
#endif

[[gnu::always_inline, gnu::no_sanitize_address]] inline long address(const void* of) noexcept {
  return reinterpret_cast<long>(of);
}

}  // namespace

/// What the helper works on; everything it needs is here before it is made.
struct open_helper::order {
  std::string path;
  const char* name = nullptr;
  int flags = 0;
  int channel = -1;
  pid_t parent = 0;
  unsigned descriptors = 0;  // the highest there may be, and one
  int error = 0;             // of open(2)
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
  iovec bytes{};
  msghdr message{};
  alignas(16) std::array<std::byte, 16 * 1024> stack;

  static int run(void* self) noexcept;
};

/// In the helper. An ordinary fork of us: same session, directory and umask, all signals blocked.
[[gnu::no_sanitize_address]] int open_helper::order::run(void* argument) noexcept {
  auto& self = *static_cast<order*>(argument);
  call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
  if (call(SYS_getppid, 0) != self.parent) return 0;
  // A pipe's reader must not wait for an end that is open here for as long as open(2) waits.
  auto channel = static_cast<unsigned>(self.channel);
  if ((channel > 0 && call(SYS_close_range, 0, channel - 1) < 0) ||
      call(SYS_close_range, channel + 1, ~0u) < 0)
    for (unsigned fd = 0; fd < self.descriptors; ++fd)
      if (fd != channel) call(SYS_close, fd);
  if (call(SYS_write, self.channel, address(""), 1) != 1) return 0;

  long fd;
  do fd = call(SYS_openat, AT_FDCWD, address(self.name), self.flags, 0666);
  while (fd == -EINTR);
  if (fd >= 0) {
    auto* header = reinterpret_cast<cmsghdr*>(self.control);
    *reinterpret_cast<int*>(header + 1) = static_cast<int>(fd);
    self.message.msg_control = self.control;
    self.message.msg_controllen = sizeof self.control;
  } else {
    self.error = static_cast<int>(-fd);
  }
  call(SYS_sendmsg, self.channel, address(&self.message), MSG_NOSIGNAL);
  return 0;
}

open_helper::open_helper(const std::string& path, int flags) : order_(std::make_unique<order>()) {
  auto both = make_channel();
  auto& o = *order_;
  o.path = path;
  o.name = o.path.c_str();
  o.flags = flags | O_CLOEXEC | O_LARGEFILE;
  o.channel = both.theirs.get();
  o.parent = ::getpid();
  rlimit most{};
  if (::getrlimit(RLIMIT_NOFILE, &most) == 0) o.descriptors = static_cast<unsigned>(most.rlim_cur);
  o.bytes = {&o.error, sizeof o.error};
  o.message.msg_iov = &o.bytes;
  o.message.msg_iovlen = 1;
  auto* header = reinterpret_cast<cmsghdr*>(o.control);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));

  blocked_signals guard;  // the helper must run none of our handlers
  int pidfd = -1;
  // No exit signal: SIGCHLD would be news for somebody who knows nothing of it.
  if (::clone(order::run, o.stack.data() + o.stack.size(), memory | CLONE_PIDFD, &o, &pidfd) < 0)
    throw_errno("clone");
  pidfd_.reset(pidfd);
  channel_ = std::move(both.ours);
  both.theirs.reset();
  // Until it has closed its copies of our descriptors: what we close meanwhile would live on in
  // epoll sets, under a number that may be another's by then.
  packet closed;
  wait_readable(channel_.get(), duration::max());
  receive_packet(channel_.get(), closed);
}

open_helper::~open_helper() {
  if (!pidfd_) return;
  kill();
  reap_within(pidfd_.get(), duration::max());
}

void open_helper::kill() noexcept { send_signal(pidfd_.get(), SIGKILL); }

unique_fd open_helper::take() {
  packet answer;
  if (receive_packet(channel_.get(), answer) != received::packet)
    throw_errno("opening " + order_->path + ": the process that does it was killed", EIO);
  int error = 0;
  std::memcpy(&error, answer.data.data(), std::min(sizeof error, answer.data.size()));
  if (answer.cut) error = EMFILE;
  if (error != 0) throw_errno("opening " + order_->path, error);
  auto fd = std::move(answer.descriptors.at(0));
  int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) < 0)
    throw_errno("opening " + order_->path);
  return fd;
}

}  // namespace supervisor::kernel
