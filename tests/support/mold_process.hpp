// A mold of this test program with workers of its own, all gone when the object is.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/activity.hpp"
#include "kernel/sockets.hpp"
#include "kernel/unique_fd.hpp"
#include "process/mold.hpp"
#include "support/leftovers.hpp"

namespace test {

namespace kernel = supervisor::kernel;

inline constexpr auto patience = std::chrono::seconds(20);

/// Waits for `events` on `fd`; false when patience is at its end.
inline bool wait_for(int fd, short events = POLLIN) {
  pollfd one{fd, events, 0};
  return poll(&one, 1, 20'000) == 1;
}

/// The status of a child, once it is dead. The child is reaped.
inline supervisor::exit_status reap(pid_t pid) {
  kernel::unique_fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  BOOST_REQUIRE(pidfd);
  if (!wait_for(pidfd.get())) kill(pid, SIGKILL);
  siginfo_t info{};
  BOOST_REQUIRE(waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED) == 0);
  return info.si_code == CLD_EXITED ? supervisor::exit_status::exited(info.si_status)
                                    : supervisor::exit_status::signalled(info.si_status);
}

inline std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The value of a line of /proc/PID/status.
inline std::string status_of(pid_t pid, const std::string& key) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(key + ":"))
      return line.substr(line.find_first_not_of(" \t", key.size() + 1));
  return {};
}

/// How long the scheduler lets a process run at a stretch, in ns; 0 where the kernel does not tell.
inline std::uint64_t turn_of(pid_t pid) {
  std::uint64_t attributes[7]{};  // sched_attr: the fourth is sched_runtime
  BOOST_REQUIRE(syscall(SYS_sched_getattr, pid, attributes, sizeof attributes, 0) == 0);
  return attributes[3];
}

/// One worker as its supervisor sees it.
struct worker_process {
  pid_t pid = 0;
  kernel::unique_fd pidfd;
  std::optional<supervisor::launch_error> error;
  bool settled = false;
  kernel::unique_fd theirs[2];  // channel and out, until the order is settled
  kernel::unique_fd channel;
  kernel::unique_fd out;

  /// The next word on the channel; empty when it closed.
  std::string word() const {
    kernel::packet p;
    BOOST_REQUIRE(wait_for(channel.get()));
    return kernel::receive_packet(channel.get(), p) == kernel::received::packet ? p.data : "";
  }
  void say(std::string_view word) const {
    BOOST_REQUIRE(kernel::send_packet(channel.get(), word) == 0);
  }
  /// All it writes on stdout until it is closed.
  std::string output() const {
    std::string text;
    char part[4096];
    while (wait_for(out.get())) {
      const ssize_t size = read(out.get(), part, sizeof part);
      if (size <= 0) break;
      text.append(part, static_cast<std::size_t>(size));
    }
    return text;
  }
};

class mold_process : leftovers {
 public:
  explicit mold_process(supervisor::spec what) : what_(std::make_shared<supervisor::spec>(what)) {}
  ~mold_process() {
    client.reset();
    for (auto& worker : workers_)
      if (worker->pid > 0) {
        kill(worker->pid, SIGKILL);
        reap(worker->pid);
      }
    if (pid > 0) reap(pid);
    if (cells) munmap(cells, 4096 * cell_count);
  }

  /// Executes this program again as a mold and waits until it is ready, refused or gone.
  void start(std::vector<std::pair<std::string, int>> listeners = {},
             std::vector<supervisor::relay> relays = {}) {
    int pair[2];
    BOOST_REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    kernel::unique_fd ours(pair[0]), theirs(pair[1]);
    spawn(theirs.get());
    theirs.reset();
    fcntl(ours.get(), F_SETFL, O_NONBLOCK);
    supervisor::mold_client::observer told;
    told.ready = [this] { ready = true; };
    told.refused = [this](supervisor::launch_error why) { refused = std::move(why); };
    told.closed = [this] { closed = true; };
    client.emplace(context.get_executor(), std::move(ours), std::move(told));
    kernel::unique_fd memory(memfd_create("cells", MFD_CLOEXEC));
    BOOST_REQUIRE(ftruncate(memory.get(), 4096 * cell_count) == 0);
    cells = static_cast<kernel::activity*>(
        mmap(nullptr, 4096 * cell_count, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0));
    supervisor::mold_setup setup;
    setup.pool = "web";
    setup.generation = 3;
    setup.what = what_;
    setup.listeners = std::move(listeners);
    setup.relays = std::move(relays);
    setup.activity = memory.get();
    setup.cells = cell_count;
    client->setup(setup);
    until([this] { return ready || refused || closed; });
  }

  /// Orders a worker; the object is filled in when the mold has answered.
  worker_process& order(bool with_output = false) {
    auto& worker = *workers_.emplace_back(std::make_unique<worker_process>());
    int channel[2], out[2] = {-1, -1};
    BOOST_REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) == 0);
    worker.channel.reset(channel[0]);
    auto& [theirs, write_end] = worker.theirs;
    theirs.reset(channel[1]);
    if (with_output) {
      BOOST_REQUIRE(pipe2(out, O_CLOEXEC) == 0);
      worker.out.reset(out[0]);
      write_end.reset(out[1]);
    }
    supervisor::mold_order what;
    what.slot = static_cast<unsigned>(workers_.size() - 1);
    what.channel = theirs.get();
    what.out = what.err = write_end.get();
    what.cell = (workers_.size() - 1) % cell_count;
    client->launch(what, [&worker](supervisor::made_worker made,
                                   std::optional<supervisor::launch_error> error) {
      worker.pid = made.pid;
      worker.pidfd = std::move(made.process);
      worker.error = std::move(error);
      worker.settled = true;
      for (auto& end : worker.theirs) end.reset();
    });
    return worker;
  }

  /// Orders a worker and waits until it exists.
  worker_process& launch(bool with_output = false) {
    auto& worker = order(with_output);
    until([&] { return worker.settled; });
    BOOST_TEST_INFO((worker.error ? worker.error->what : std::string()));
    BOOST_REQUIRE(worker.pid > 0);
    return worker;
  }
  worker_process& launch_ready() {
    auto& worker = launch();
    BOOST_REQUIRE_EQUAL(worker.word(), "READY=1");
    return worker;
  }
  supervisor::exit_status end(worker_process& worker) {
    const auto status = reap(worker.pid);
    worker.pid = 0;
    return status;
  }

  void until(const std::function<bool()>& done) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (!done()) {
      BOOST_REQUIRE(std::chrono::steady_clock::now() < deadline);
      context.restart();
      context.run_one_until(deadline);
    }
  }

  boost::asio::io_context context;
  std::optional<supervisor::mold_client> client;
  pid_t pid = 0;
  bool ready = false;
  bool closed = false;
  std::optional<supervisor::launch_error> refused;
  kernel::activity* cells = nullptr;
  static constexpr std::size_t cell_count = 256;

 private:
  void spawn(int socket) {
    // A number above the standard ones, inherited.
    kernel::unique_fd inherited(fcntl(socket, F_DUPFD, 10));
    const std::string variable = std::string(supervisor::mold_variable) + "=" +
                                 std::to_string(inherited.get()) + ":" + std::to_string(getpid());
    std::vector<char*> environment;
    for (char** entry = environ; *entry; ++entry) environment.push_back(*entry);
    environment.push_back(const_cast<char*>(variable.c_str()));
    environment.push_back(nullptr);
    // Arguments that Boost.Test leaves alone, longer than a title.
    std::string name = "test_mold", end = "--", padding(60, 'x');
    char* arguments[] = {name.data(), end.data(), padding.data(), nullptr};
    BOOST_REQUIRE(
        posix_spawn(&pid, "/proc/self/exe", nullptr, nullptr, arguments, environment.data()) == 0);
  }

  std::shared_ptr<supervisor::spec> what_;
  std::vector<std::unique_ptr<worker_process>> workers_;
};

}  // namespace test
