// A child that does what its arguments say, one after the other; each action takes one argument
// or none; "exec" takes all that follow.
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <sstream>
#include <string>

namespace {

void say(const std::string& text) {
  std::string line = text + '\n';
  for (std::size_t at = 0; at < line.size();) {
    auto size = ::write(1, line.data() + at, line.size() - at);
    if (size <= 0) ::_exit(111);
    at += static_cast<std::size_t>(size);
  }
}

void list_descriptors() {
  std::string all = "fds";
  for (int fd = 0; fd < 4096; ++fd)
    if (::fcntl(fd, F_GETFD) >= 0) all += ' ' + std::to_string(fd);
  say(all);
}

/// One line of /proc/self/status.
void print_status(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(field + ':')) say(line);
}

void print_environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  say(name + '=' + (value ? value : "(unset)"));
}

/// With one descriptor, or none.
void notify(std::string text, int descriptor = -1) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (!path) ::_exit(112);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  auto size = offsetof(sockaddr_un, sun_path) + std::strlen(path);
  address.sun_path[0] = '\0';
  iovec part{text.data(), text.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof descriptor)]{};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = static_cast<socklen_t>(size);
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (descriptor >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    auto* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof descriptor);
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  }
  int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (::sendmsg(fd, &message, 0) < 0) ::_exit(113);
  ::close(fd);
}

/// NAME=TEXT: has a memory file with that text stored under that name. More may follow the name, a
/// line each.
void store(const std::string& what) {
  auto equals = what.find('=');
  auto text = what.substr(equals + 1);
  int file = ::memfd_create("stored", MFD_CLOEXEC);
  if (::write(file, text.data(), text.size()) != static_cast<ssize_t>(text.size())) ::_exit(118);
  notify("FDSTORE=1\nFDNAME=" + what.substr(0, equals), file);
}

/// The reading end of a pipe whose other end nobody holds once we are gone.
void store_pipe(const std::string& name) {
  int ends[2];
  if (::pipe(ends) != 0) ::_exit(119);
  notify("FDSTORE=1\nFDNAME=" + name, ends[0]);
}

/// What came to us with LISTEN_FDS and is a file: "NAME has TEXT", and again has it stored.
void read_stored() {
  const char *pid = std::getenv("LISTEN_PID"), *all = std::getenv("LISTEN_FDNAMES");
  if (!pid || std::to_string(::getpid()) != pid || !all) return say("nothing stored");
  std::istringstream names(all);
  int fd = 3;
  for (std::string name; std::getline(names, name, ':'); ++fd) {
    char text[4096];
    auto size = ::pread(fd, text, sizeof text, 0);
    if (size < 0) continue;
    say(std::to_string(fd) + " is " + name + " has " +
        std::string(text, static_cast<std::size_t>(size)));
    notify("FDSTORE=1\nFDNAME=" + name, fd);
  }
}

/// Two minutes at most, should nobody end it.
void sleep_on() {
  ::alarm(120);
  for (;;) ::pause();
}

/// A process that lives on, holding our stdout.
void leave_behind(bool own_session) {
  pid_t pid = ::fork();
  if (pid == 0) {
    if (own_session) ::setsid();
    sleep_on();
  }
  say("left " + std::to_string(pid));
}

void flood(long bytes) {
  std::string block(1024, 'x');
  block.back() = '\n';
  for (long done = 0; done < bytes; done += static_cast<long>(block.size()))
    if (::write(1, block.data(), block.size()) < 0) ::_exit(111);
}

void print_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  say("nofile " + std::to_string(limit.rlim_cur));
}

/// What programs in a container meet by default: some system calls are refused, clone3(2) as if the
/// kernel had none, and most capabilities are out of reach. Ours are gone with the next execve(2).
void contain() {
  constexpr std::uint32_t none = SECCOMP_RET_ERRNO | ENOSYS, refused = SECCOMP_RET_ERRNO | EPERM;
  sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 5, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_getfd, 5, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 4, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setns, 2, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, none),
      BPF_STMT(BPF_RET | BPF_K, refused),
  };
  constexpr int kept[] = {CAP_CHOWN,       CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID,
                          CAP_KILL,        CAP_SETGID,       CAP_SETUID, CAP_NET_BIND_SERVICE,
                          CAP_NET_RAW,     CAP_SETPCAP,      CAP_MKNOD,  CAP_SYS_CHROOT,
                          CAP_AUDIT_WRITE, CAP_SETFCAP};
  for (int each = 0; ::prctl(PR_CAPBSET_READ, each) >= 0; ++each)
    if (std::ranges::find(kept, each) == std::end(kept) && ::prctl(PR_CAPBSET_DROP, each) != 0)
      ::_exit(115);
  sock_fprog program{std::size(rules), rules};
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) ::_exit(116);
}

using action = std::function<void(const std::string&)>;

const std::map<std::string, action> actions = {
    {"print", [](auto& text) { say(text); }},
    {"partial", [](auto& text) { [[maybe_unused]] auto n = ::write(1, text.data(), text.size()); }},
    {"error", [](auto& text) { std::fprintf(stderr, "%s\n", text.c_str()); }},
    {"status", print_status},
    {"environment", print_environment},
    {"newline",
     [](auto& fd) {
       if (::write(std::stoi(fd), "up\n", 3) != 3) ::_exit(114);
     }},
    {"notify", [](auto& text) { notify(text); }},
    {"store", store},
    {"store_pipe", store_pipe},
    {"flood", [](auto& bytes) { flood(std::stol(bytes)); }},
    {"ignore", [](auto& number) { std::signal(std::stoi(number), SIG_IGN); }},
    {"raise", [](auto& number) { ::raise(std::stoi(number)); }},
    {"exit", [](auto& code) { ::_exit(std::stoi(code)); }},
};

const std::map<std::string, std::function<void()>> plain_actions = {
    {"descriptors", list_descriptors},
    {"directory", [] { say("in " + std::filesystem::current_path().string()); }},
    {"umask", [] { say("umask " + std::to_string(::umask(0))); }},
    {"limit", print_limit},
    {"group", [] { say(::getpgrp() == ::getpid() ? "leads its group" : "led by another"); }},
    {"pid", [] { say("pid " + std::to_string(::getpid())); }},
    {"daughter", [] { leave_behind(false); }},
    {"runaway", [] { leave_behind(true); }},
    {"sleep", sleep_on},
    {"read_stored", read_stored},
    {"contain", contain},
};

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    std::string name = argv[i];
    if (name == "exec") {
      ::execvp(argv[i + 1], argv + i + 1);
      return 117;
    }
    if (auto plain = plain_actions.find(name); plain != plain_actions.end())
      plain->second();
    else if (auto with = actions.find(name); with != actions.end() && i + 1 < argc)
      with->second(argv[++i]);
    else
      return 110;
  }
  return 0;
}
