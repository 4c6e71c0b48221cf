// A worker killed every 20 ms under load: what do clients notice, and is the pool full at the end?
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <map>

#include "contestant.hpp"
#include "processes.hpp"

namespace bench {
namespace {

using std::chrono::milliseconds;

constexpr auto think_time = milliseconds(1);
constexpr auto patience = std::chrono::seconds(2);
constexpr auto kill_interval = milliseconds(20);

bool complete(std::string_view text) {
  auto head = text.find("\r\n\r\n");
  auto at = text.find("Content-Length: ");
  if (head == text.npos || at > head) return false;
  std::size_t size = 0;
  std::from_chars(text.data() + at + 16, text.data() + head, size);
  return text.size() >= head + 4 + size;
}

/// Asks, thinks, asks again; on one connection, or on one a request.
struct client {
  bool kept_alive = false;
  int socket = -1;
  std::uint16_t port = 0;
  bool waiting = false;
  clock::time_point when{};  ///< to ask next, or since when it waits
  std::string answer;
};

class storm {
 public:
  explicit storm(const contestant& c)
      : contestant_(c), workers_(c.master), full_(workers_.now().size()) {
    if (!c.board.empty()) board_ = &map_board(c.board);
    for (int i = 0; i < 4; ++i) clients_[i].kept_alive = i < 2;
  }

  void run(unsigned seconds) {
    auto end = clock::now() + std::chrono::seconds(seconds);
    for (auto next_kill = clock::now() + kill_interval; next_kill < end;) {
      for (auto& c : clients_)
        if (!c.waiting && clock::now() >= c.when) ask(c);
      wait(next_kill);
      if (clock::now() < next_kill) continue;
      strike();
      next_kill += kill_interval;
    }
    auto last = clock::now();
    bool came = workers_.spin(
        [&](const std::vector<pid_t>& pids) { return without(pids, killed_).size() == full_; });
    full_after_ms_ = came ? milliseconds_since(last) : -1;
    for (auto& c : clients_) hang_up(c);
  }

  void print() const {
    unsigned most = 0, attributed = 0;
    for (auto [pid, n] : failures_by_victim_) {
      most = std::max(most, n);
      attributed += n;
    }
    fmt::print(
        "{{\"requests\": {}, \"kills\": {}, \"failures\": {}, \"accepted_by_the_killed\": {}, "
        "\"most_per_kill\": {}, \"refused\": {}, \"timeouts\": {}, \"nobody_to_kill\": {}, "
        "\"pool\": {}, \"full_after_ms\": {:.3f}}}\n",
        requests_, killed_.size(), failures_, attributed, most, refused_, timeouts_, nobody_, full_,
        full_after_ms_);
  }

 private:
  static double milliseconds_since(clock::time_point t) {
    return bench::milliseconds(clock::now() - t);
  }

  void strike() {
    auto live = without(workers_.now(), killed_);
    if (live.empty()) {
      ++nobody_;
      return;
    }
    killed_.push_back(live[random_below(live.size())]);
    last_kill_ = clock::now();
    kill(killed_.back(), SIGKILL);
  }

  void ask(client& c) {
    if (c.socket < 0) c.socket = connect_to(contestant_.number, false);
    if (c.socket < 0) {
      ++refused_;
      return fail(c);
    }
    c.port = local_port(c.socket);
    auto words = c.kept_alive ? keep_alive : one_shot;
    c.waiting = true;
    c.when = clock::now();
    c.answer.clear();
    ++requests_;
    // EPIPE: the kept connection went with its worker, but its end is not read yet.
    if (send(c.socket, words.data(), words.size(), 0) < 0) fail(c);
  }

  void wait(clock::time_point until) {
    std::vector<pollfd> polled;
    for (auto& c : clients_) {
      polled.push_back({c.socket, POLLIN, 0});  // -1 is skipped by poll(2)
      until = std::min(until, c.waiting ? c.when + patience : c.when);
    }
    auto left = std::max(until - clock::now(), clock::duration::zero());
    timespec timeout{left / std::chrono::seconds(1), (left % std::chrono::seconds(1)).count()};
    ppoll(polled.data(), polled.size(), &timeout, nullptr);
    for (std::size_t i = 0; i < polled.size(); ++i) {
      auto& c = clients_[i];
      if (polled[i].revents) {
        hear(c);
      } else if (c.waiting && clock::now() > c.when + patience) {
        ++timeouts_;
        fail(c);
      }
    }
  }

  void hear(client& c) {
    char buffer[4096];
    auto n = recv(c.socket, buffer, sizeof buffer, 0);
    if (n > 0) {
      c.answer.append(buffer, n);
      if (complete(c.answer)) finish(c);
    } else if (c.waiting) {
      fail(c);
    } else {
      hang_up(c);  // an idle connection ended with its worker: no request was lost
    }
  }

  void finish(client& c) {
    c.waiting = false;
    c.when = clock::now() + think_time;
    if (!c.kept_alive) hang_up(c);
  }

  void fail(client& c) {
    ++failures_;
    if (board_ && c.socket >= 0) {
      pid_t acceptor = board_->accepted_by[c.port];
      // Killed between accept(2) and its note: the board is silent, but a connection that nobody
      // accepted stays in the queue, it does not fail.
      if (acceptor == 0 && last_kill_ > c.when) acceptor = killed_.back();
      if (contains(killed_, acceptor)) ++failures_by_victim_[acceptor];
    }
    hang_up(c);
    c.waiting = false;
    c.when = clock::now() + think_time;
  }

  void hang_up(client& c) {
    if (c.socket < 0) return;
    if (board_) board_->accepted_by[c.port] = 0;
    close(c.socket);
    c.socket = -1;
  }

  const contestant& contestant_;
  workers_of workers_;
  std::size_t full_;
  board* board_ = nullptr;
  client clients_[4];
  std::vector<pid_t> killed_;
  clock::time_point last_kill_{};
  std::map<pid_t, unsigned> failures_by_victim_;
  unsigned requests_ = 0, failures_ = 0, refused_ = 0, timeouts_ = 0, nobody_ = 0;
  double full_after_ms_ = -1;
};

}  // namespace

int measure_storm(unsigned seconds, const contestant& c) {
  storm s(c);
  s.run(seconds);
  s.print();
  return 0;
}

}  // namespace bench
