// A few connections at a time, far apart, while workers are killed and retired at random. A shared
// listener wakes one waiting worker a connection; if that one leaves before it accepts, nobody else
// was woken, and a connection waits in the queue until the next one wakes somebody. Under load
// nobody sees that. So the next connections are held back here until these are answered.
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <thread>

#include "contestant.hpp"
#include "processes.hpp"

namespace bench {
namespace {

using std::chrono::milliseconds;

class sparse_traffic {
 public:
  sparse_traffic(const contestant& c, bool scaling)
      : contestant_(c), workers_(c.master), board_(map_board(c.board)), scaling_(scaling) {}

  void run(unsigned seconds) {
    auto end = clock::now() + std::chrono::seconds(seconds);
    for (auto tick = clock::now(); tick < end;
         tick = std::max(tick + milliseconds(2), clock::now())) {
      std::this_thread::sleep_until(tick);
      killed_now_ = false;
      bool act = random_below(10) == 0, before = random_below(2) == 0;
      if (act && before) disturb();
      std::vector<int> clients;
      for (auto n = 1 + random_below(3); n > 0; --n) clients.push_back(ask());
      if (act && !before) disturb();
      await(clients);
    }
  }

  void print() const {
    fmt::print(
        "{{\"connections\": {}, \"answered\": {}, \"own_worker_killed\": {}, \"lost\": {}, "
        "\"slow\": {}, \"waited\": {}, \"waited_for_next\": {}, \"never\": {}, \"worst_ms\": "
        "{:.3f}, "
        "\"kills\": {}, \"retirements\": {}, \"scalings\": {}}}\n",
        connections_, answered_, own_worker_killed_, lost_, slow_, waited_, waited_for_next_,
        never_, worst_ms_, killed_.size(), retirements_, scalings_);
  }

 private:
  int ask() {
    ++connections_;
    int client = connect_to(contestant_.number);
    if (client < 0 || send(client, one_shot.data(), one_shot.size(), 0) < 0) ++lost_;
    return client;
  }

  void disturb() {
    auto live = without(workers_.now(), killed_);
    auto dice = scaling_ ? random_below(10) : 0;
    if (dice < 6) {
      if (live.size() < 2) return;
      pid_t victim = live[random_below(live.size())];
      bool by_kill = dice < 3;
      if (by_kill) killed_.push_back(victim);
      killed_now_ = by_kill;
      retirements_ += !by_kill;
      kill(victim, by_kill ? SIGKILL : SIGTERM);
    } else {
      ++scalings_;
      bool grow = live.size() < 3 || (live.size() < 6 && random_below(2) == 0);
      kill(contestant_.master, grow ? SIGTTIN : SIGTTOU);
    }
  }

  static bool readable(int client, milliseconds within) {
    pollfd p{client, POLLIN, 0};
    return poll(&p, 1, within.count()) == 1;
  }

  void await(const std::vector<int>& clients) {
    auto start = clock::now();
    for (int client : clients) {
      if (client < 0) continue;
      auto left =
          milliseconds(100) - std::chrono::duration_cast<milliseconds>(clock::now() - start);
      if (!readable(client, std::max(left, milliseconds(0)))) stuck(client);
      finish(client);
    }
    worst_ms_ = std::max(worst_ms_, bench::milliseconds(clock::now() - start));
  }

  /// Nothing came for 100 ms although workers live: is it in the queue, and what gets it out?
  void stuck(int client) {
    if (board_.accepted_by[local_port(client)] != 0) {
      ++slow_;
      readable(client, milliseconds(5000));
      return;
    }
    ++waited_;
    int next = connect_to(contestant_.number);
    if (readable(client, milliseconds(100)))
      ++waited_for_next_;
    else if (!readable(client, milliseconds(5000)))
      ++never_;
    close(next);
  }

  void finish(int client) {
    char answer[512];
    auto& acceptor = board_.accepted_by[local_port(client)];
    if (recv(client, answer, sizeof answer, MSG_DONTWAIT) > 0)
      ++answered_;
    else if (acceptor ? contains(killed_, acceptor) : killed_now_)  // killed before it could note
      ++own_worker_killed_;
    else
      ++lost_;
    acceptor = 0;
    close(client);
  }

  const contestant& contestant_;
  workers_of workers_;
  board& board_;
  bool scaling_;
  std::vector<pid_t> killed_;
  bool killed_now_ = false;  ///< while these connections lived
  unsigned connections_ = 0, answered_ = 0, own_worker_killed_ = 0, lost_ = 0, slow_ = 0;
  unsigned waited_ = 0, waited_for_next_ = 0, never_ = 0, retirements_ = 0, scalings_ = 0;
  double worst_ms_ = 0;
};

}  // namespace

int measure_sparse(unsigned seconds, const contestant& c, bool scaling) {
  sparse_traffic traffic(c, scaling);
  traffic.run(seconds);
  traffic.print();
  return 0;
}

}  // namespace bench
