#include "processes.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <random>
#include <stdexcept>
#include <thread>

namespace bench {

unsigned random_below(unsigned n) {
  static std::mt19937 engine{std::random_device{}()};
  return std::uniform_int_distribution<unsigned>{0, n - 1}(engine);
}

bool contains(const std::vector<pid_t>& pids, pid_t pid) {
  return std::find(pids.begin(), pids.end(), pid) != pids.end();
}

std::vector<pid_t> without(std::vector<pid_t> pids, const std::vector<pid_t>& those) {
  std::erase_if(pids, [&](pid_t pid) { return contains(those, pid); });
  return pids;
}

workers_of::workers_of(pid_t master) {
  auto pid = std::to_string(master);
  auto path = "/proc/" + pid + "/task/" + pid + "/children";
  file_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file_ < 0) throw std::runtime_error("no process " + pid);
  for (pid_t child : now()) {
    std::string name;
    std::getline(std::ifstream("/proc/" + std::to_string(child) + "/comm"), name);
    if (name.find("mold") != std::string::npos) molds_.push_back(child);
  }
}

workers_of::~workers_of() { close(file_); }

std::vector<pid_t> workers_of::now() const {
  char text[16384];
  auto n = pread(file_, text, sizeof text, 0);
  std::vector<pid_t> pids;
  for (const char* at = text; at < text + n;) {
    pid_t pid = 0;
    at = std::from_chars(at, text + n, pid).ptr + 1;
    if (pid && !contains(molds_, pid)) pids.push_back(pid);
  }
  return pids;
}

bool workers_of::spin(const std::function<bool(const std::vector<pid_t>&)>& done) const {
  auto deadline = clock::now() + std::chrono::seconds(20);
  while (sched_yield(), !done(now()))
    if (clock::now() > deadline) return false;
  return true;
}

std::vector<pid_t> workers_of::settled(std::size_t count) const {
  auto deadline = clock::now() + std::chrono::seconds(20);
  std::vector<pid_t> before;
  while (clock::now() < deadline) {
    auto pids = now();
    if (pids.size() == count && pids == before) return pids;
    before = std::move(pids);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  throw std::runtime_error("a pool did not settle at " + std::to_string(count) + " workers");
}

contestant parse_contestant(std::string_view text) {
  contestant c;
  auto field = [&](char end) {
    auto at = std::min(text.find(end), text.size());
    std::string value(text.substr(0, at));
    text.remove_prefix(std::min(at + 1, text.size()));
    return value;
  };
  c.name = field('=');
  c.master = std::stoi(field(':'));
  c.number = std::stoul(field(':'));
  c.board = text;
  return c;
}

int connect_to(std::uint16_t port, bool blocking) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(port);
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  // On loopback connect(2) completes at once where the backlog has room.
  if (connect(fd, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0) {
    close(fd);
    return -1;
  }
  int yes = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  if (!blocking) fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

std::uint16_t local_port(int socket) {
  sockaddr_in a{};
  socklen_t size = sizeof a;
  getsockname(socket, reinterpret_cast<sockaddr*>(&a), &size);
  return ntohs(a.sin_port);
}

}  // namespace bench
