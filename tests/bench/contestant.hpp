// What the benchmark's own contestants have in common: how they are told what to be, the answer
// they give, and the board on which they tell the driver things without a system call.
#pragma once

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

namespace bench {

/// In the environment, because it is the one thing that also a mold and its workers inherit.
inline std::string setting(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value ? value : otherwise;
}
inline std::string mode() { return setting("BENCH_MODE", "respond"); }
inline unsigned workers() { return std::stoul(setting("BENCH_WORKERS", "4")); }
inline std::uint16_t port() { return std::stoul(setting("BENCH_PORT", "0")); }

inline std::int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

/// A file that the contestant, its workers and the driver map.
struct board {
  std::atomic<std::int64_t> handled_ns;     ///< when the first line of a signal handler last ran;
                                            ///< of the accounting figure: picoseconds a request
  std::atomic<std::int64_t> settled_ns;     ///< when the master first knew all workers ready
  std::atomic<std::uint32_t> ready;         ///< workers that began to serve
  std::atomic<std::uint32_t> handled;       ///< deliveries that a signal handler got
  std::atomic<pid_t> accepted_by[1 << 16];  ///< by client port: the worker that accepted it
};

inline board& map_board(const std::string& path) {
  int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  void* at = MAP_FAILED;
  if (fd >= 0 && ftruncate(fd, sizeof(board)) == 0)
    at = mmap(nullptr, sizeof(board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) {
    std::fprintf(stderr, "board %s: %s\n", path.c_str(), std::strerror(errno));
    std::exit(2);
  }
  close(fd);
  return *static_cast<board*>(at);
}
inline board& the_board() {
  static board& it = map_board(setting("BENCH_BOARD", "/dev/null"));
  return it;
}

inline void note_accepted(int connection) {
  sockaddr_in peer{};
  socklen_t size = sizeof peer;
  getpeername(connection, reinterpret_cast<sockaddr*>(&peer), &size);
  the_board().accepted_by[ntohs(peer.sin_port)] = getpid();
}

/// The first line of a signal handler, of `count` deliveries.
inline void note_handled(std::uint32_t count = 1) {
  auto now = now_ns();
  auto& board = the_board();
  board.handled_ns = now;
  board.handled += count;
}

/// What a mold does before it forks: takes and touches BENCH_PRELOAD_MB of heap in pieces of 1 KiB,
/// as an application that loads its code and data would; and maps the board for its workers.
inline void preload() {
  the_board();
  static std::vector<char*> kept;
  for (auto left = std::stoul(setting("BENCH_PRELOAD_MB", "0")) * 1024; left > 0; --left)
    kept.push_back(static_cast<char*>(std::memset(std::malloc(1000), 1, 1000)));
}

/// The answer to every request: the worker's pid.
inline std::string response() {
  auto body = std::to_string(getpid()) + "\n";
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

}  // namespace bench
