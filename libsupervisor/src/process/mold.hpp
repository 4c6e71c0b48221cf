// The mold: the program executed again, to fork function workers from a clean, preloaded image.
#pragma once

#include <sys/types.h>

#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernel/unique_fd.hpp"
#include "supervisor/exit_report.hpp"
#include "supervisor/spec.hpp"
#include "supervisor/supervisor.hpp"
#include "worker/boot.hpp"

namespace supervisor {

struct worker_boot;

/// What ps calls them; a worker has the mold's name until it has one of its own.
inline constexpr const char* mold_short_name = "prefork-mold";
inline constexpr const char* worker_short_name = "prefork-worker";

/// The environment by which a program knows that it is to be a mold: "FD:PID", the inherited socket
/// and the parent that made it. Taken out of the environment before the user's code runs.
inline constexpr const char* mold_variable = "SUPERVISOR_MOLD";
/// Behind that: it and its workers do not end with that parent, but with its socket.
inline constexpr const char* mold_outlives = ":outlives";

/// What a mold is told once, before preload.
struct mold_setup {
  std::string pool;
  std::uint64_t generation = 0;
  std::shared_ptr<const spec> what;  ///< function, environment, directory, umask, user, limits, ...
  std::vector<std::pair<std::string, int>> listeners;
  std::vector<relay> relays = {};
  int activity = -1;  ///< memfd of kernel::activity cells
  std::size_t cells = 0;
  std::string supervisor = {};  ///< its name, for ps
};

/// One worker to be forked.
struct mold_order {
  unsigned slot = 0;
  int channel = -1;  ///< these three are sent along, not owned; they stay open until `done`
  int out = -1;      ///< -1: inherited from the mold
  int err = -1;
  std::size_t cell = 0;
  std::vector<std::pair<std::size_t, int>> own;  ///< by place, listeners that are this worker's own
};

/// A worker that was forked.
struct made_worker {
  pid_t pid = -1;                  ///< there is none
  kernel::unique_fd process = {};  ///< pidfd; empty where there was no room for it
};

/// The supervisor's end of a mold's socket. Whoever made the process reaps it.
class mold_client {
 public:
  struct observer {
    std::function<void()> ready;                ///< preload has run; orders are served
    std::function<void(launch_error)> refused;  ///< preload threw, no such function, threads, ...
    std::function<void()> closed;  ///< the mold is gone; open orders have failed before
  };
  mold_client(boost::asio::any_io_executor, kernel::unique_fd socket, observer);
  /// Of a mold that is ready already. What it answers to somebody before us is passed over.
  struct in_service {};
  mold_client(in_service, boost::asio::any_io_executor, kernel::unique_fd socket, observer);
  ~mold_client();  ///< closing its socket ends the mold; open orders are dropped uncalled
  mold_client(const mold_client&) = delete;

  /// Sends the setup with its descriptors. Never blocks, as nothing was sent before.
  void setup(const mold_setup&);
  int socket() const noexcept;
  using completion = std::function<void(made_worker, std::optional<launch_error>)>;
  /// Orders a worker, together with what else is ordered in this turn of the loop. `done` gets it -
  /// a child of whoever has made the mold, by CLONE_PARENT - or why there is none; EPIPE or
  /// ECONNRESET when the mold died first, in which case a worker may exist whose channel tells.
  void launch(const mold_order&, completion done);

 private:
  struct impl;
  std::shared_ptr<impl> impl_;
};

/// The socket, if this process was started as a mold: the variable is there, names an open socket
/// and our parent. The variable is removed in any case.
kernel::unique_fd take_mold_socket();

/// The mold's life: receives the setup, runs preload, then forks a worker for each order until the
/// socket closes. Returns the mold's exit code. In a worker `entry` is called on a clean stack and
/// its result becomes the exit code, by _exit(2): the image's static destructors are the mold's. A
/// worker never returns from here; one that cannot become what its spec asks says so on stderr and
/// exits with 70 and the stage: 71 process group, 72 stdio, 73 descriptors, 74 limits, 75 user and
/// group, 76 the supervisor is gone, 77 signal mask.
int run_mold(int argc, char** argv, kernel::unique_fd socket,
             std::span<const worker_function> functions,
             const std::function<int(worker_boot, const worker_function&)>& entry);

}  // namespace supervisor
