#include "process/launcher.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/process/v2/posix/default_launcher.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string_view>
#include <tuple>

#include "kernel/clone.hpp"
#include "kernel/descriptors.hpp"
#include "kernel/limits.hpp"
#include "kernel/signal_mask.hpp"

namespace process = boost::process::v2;

namespace supervisor {

namespace {

using boost::system::error_code;
using path_type = process::filesystem::path;

/// Written by the child into our memory.
struct child_failure {
  const char* stage = nullptr;
  int error = 0;
  const char* what = "";
};

/// Boost.Process's launcher with its protocol of initialisers, on kernel::clone_borrowing. Of an
/// initialiser on_setup runs here and on_exec_setup in the child, where it may make raw system
/// calls only. Unlike Boost's own it leaves no zombie unowned when exec fails, runs no destructor
/// of ours in the child (process#514) and does not disturb Asio (asio#1231).
struct borrowing_launcher : process::posix::default_launcher {
  child_failure failure;
  int program = -1;  ///< execveat(2) this instead of the path

  template <typename... Initialisers>
  kernel::cloned operator()(const path_type& executable, const char* const* argv,
                            Initialisers&... initialisers) {
    auto error = process::posix::detail::on_setup(*this, executable, argv, initialisers...);
    if (error) throw boost::system::system_error(error, failure.stage ? failure.stage : "setup");
    auto child = [&] {
      auto failed = process::posix::detail::on_exec_setup(*this, executable, argv, initialisers...);
      if (!failed) execute(executable.c_str(), argv);
      return 127;
    };
    using body = decltype(child);
    return kernel::clone_borrowing([](void* self) { return (*static_cast<body*>(self))(); },
                                   &child);
  }

 private:
  void execute(const char* path, const char* const* argv) noexcept {
    auto arguments = const_cast<char* const*>(argv);
    auto variables = const_cast<char* const*>(env);
    if (program >= 0)
      ::syscall(SYS_execveat, program, "", arguments, variables, AT_EMPTY_PATH);
    else
      ::execve(path, arguments, variables);
    failure = {"exec", errno, path};
  }
};

/// Our one initialiser: runs a plan in the child. Its stages are in the order in which they may
/// fail and in which one undoes another: credentials before PDEATHSIG, which they clear, prctl(2).
class plan_runner {
 public:
  explicit plan_runner(launch_plan& plan) : plan_(plan), parent_(::getpid()) {
    for (auto& entry : plan.environment) {
      variables_.push_back(entry.data());
      if (entry == listen_pid_entry) listen_pid_ = entry.data() + std::strlen("LISTEN_PID=");
    }
    variables_.push_back(nullptr);
  }

  error_code on_setup(borrowing_launcher& launcher, const path_type&, const char* const*&) {
    launcher.env = variables_.data();
    launcher.program = plan_.program;
    return {};
  }

  error_code on_exec_setup(borrowing_launcher& launcher, const path_type&, const char* const*&) {
    auto failed = run(launcher);
    if (!failed.stage) return {};
    launcher.failure = failed;
    return {failed.error ? failed.error : EINVAL, boost::system::system_category()};
  }

 private:
  child_failure run(borrowing_launcher& launcher) noexcept {
    if (int error = kernel::reset_signals()) return {"signals", error};
    // Refused only to a session leader, who leads a group already.
    ::setpgid(0, 0);
    if (auto failed = place_descriptors(launcher); failed.stage) return failed;
    if (!plan_.directory.empty() && ::chdir(plan_.directory.c_str()) < 0)
      return {"chdir", errno, plan_.directory.c_str()};
    if (plan_.umask) ::umask(*plan_.umask);
    for (auto& [number, value] : plan_.limits)
      if (int error = kernel::set_limit(number, value)) return {"limit", error};
    if (auto stage = kernel::assume(plan_.who)) return {stage, errno};
    if (plan_.no_new_privileges && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
      return {"no_new_privs", errno};
    if (plan_.end_with_thread) {
      if (::prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) return {"pdeathsig", errno};
      if (::getppid() != parent_) return {"parent", ESRCH};  // it died before that could tell us
    }
    if (listen_pid_) write_pid();
    return {};
  }

  /// Sources are moved above all targets first, so that no target overwrites a source still needed.
  /// By system call: to ThreadSanitizer dup2(2) and close(2) would be of the parent's descriptors.
  child_failure place_descriptors(borrowing_launcher& launcher) noexcept {
    auto& sources = plan_.descriptors;
    int count = static_cast<int>(sources.size());
    auto move_up = [count](int& fd) {
      if (fd >= 0 && fd < count) fd = ::fcntl(fd, F_DUPFD_CLOEXEC, count);
      return fd >= 0;
    };
    for (int& source : sources)
      if (source >= 0 && !move_up(source)) return {"descriptors", errno};
    if (launcher.program >= 0 && !move_up(launcher.program)) return {"descriptors", errno};
    for (int target = 0; target < count; ++target)
      if (int source = sources[static_cast<std::size_t>(target)]; source < 0)
        ::syscall(SYS_close, target);
      else if (::syscall(SYS_dup3, source, target, 0) < 0)
        return {"dup2", errno};
    auto first = static_cast<unsigned>(count);
    if (launcher.program >= 0) {
      auto keep = static_cast<unsigned>(launcher.program);
      if (keep > first) kernel::close_between(first, keep - 1);
      first = keep + 1;
    }
    kernel::close_between(first, ~0u);
    return {};
  }

  void write_pid() noexcept {
    char digits[16];
    char* at = digits + sizeof digits;
    for (auto pid = ::getpid(); pid > 0; pid /= 10) *--at = static_cast<char>('0' + pid % 10);
    auto size = static_cast<std::size_t>(digits + sizeof digits - at);
    std::memcpy(listen_pid_, at, size);
    listen_pid_[size] = '\0';
  }

  launch_plan& plan_;
  pid_t parent_;
  std::vector<const char*> variables_;
  char* listen_pid_ = nullptr;
};

}  // namespace

launched launch(boost::asio::any_io_executor executor, launch_plan plan) {
  std::vector<const char*> argv;
  for (auto& argument : plan.arguments) argv.push_back(argument.c_str());
  argv.push_back(nullptr);
  path_type executable(plan.path);
  plan_runner runner(plan);
  borrowing_launcher launcher;
  auto [pid, pidfd] = launcher(executable, argv.data(), runner);
  launched result{held_process(std::move(executor), pid, std::move(pidfd)), {}};
  if (auto& failure = launcher.failure; failure.stage)
    result.failed = launch_error{failure.stage, failure.error, failure.what};
  return result;
}

}  // namespace supervisor
