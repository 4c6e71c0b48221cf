// How long until: a killed worker's replacement exists, has answered; a signal's handler runs.
// Contestants take turns within each round, so that what else the machine does meets them all.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <stdexcept>
#include <thread>

#include "contestant.hpp"
#include "processes.hpp"

namespace bench {
namespace {

using results = std::map<std::string, std::vector<double>>;

void print(const results& all) {
  std::string text;
  for (const auto& [name, values] : all)
    text +=
        fmt::format("{}\"{}\": [{:.4f}]", text.empty() ? "" : ", ", name, fmt::join(values, ", "));
  fmt::print("{{{}}}\n", text);
}

void pause_a_little() {
  std::this_thread::sleep_for(std::chrono::milliseconds(20 + random_below(20)));
}

double respawn_once(const contestant& c, bool all) {
  workers_of workers(c.master);
  auto before = workers.settled(c.number);
  auto expected = all ? before.size() : 1;
  auto first = all ? 0 : random_below(before.size());
  auto start = clock::now();
  for (auto i = first; i < first + expected; ++i) kill(before[i], SIGKILL);
  bool came = workers.spin([&](const std::vector<pid_t>& pids) {
    return static_cast<std::size_t>(std::count_if(pids.begin(), pids.end(), [&](pid_t pid) {
             return !contains(before, pid);
           })) == expected;
  });
  auto took = milliseconds(clock::now() - start);
  if (!came) throw std::runtime_error(c.name + ": no replacement in 20 s");
  return took;
}

/// One worker is all there is, so the answer comes from its replacement.
double answer_once(const contestant& c) {
  workers_of workers(c.master);
  pid_t victim = workers.settled(1).front();
  auto start = clock::now();
  kill(victim, SIGKILL);
  int client = connect_to(c.number);
  char byte;
  bool answered = client >= 0 && send(client, one_shot.data(), one_shot.size(), 0) > 0 &&
                  recv(client, &byte, 1, 0) == 1;
  auto took = milliseconds(clock::now() - start);
  if (client >= 0) close(client);
  if (!answered) throw std::runtime_error(c.name + ": no answer after a kill");
  return took;
}

double signal_once(const contestant& c, board& board) {
  auto start = now_ns();
  board.handled_ns = 0;
  kill(c.master, SIGTTIN);
  while (board.handled_ns == 0) {
    // Asleep, for the handler needs this CPU.
    if (now_ns() - start > 2'000'000'000) throw std::runtime_error(c.name + ": no handler ran");
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return (board.handled_ns - start) / 1e6;
}

std::int64_t cpu_ns(pid_t pid) {
  clockid_t id;
  timespec t;
  if (clock_getcpuclockid(pid, &id) != 0 || clock_gettime(id, &t) != 0)
    throw std::runtime_error("no CPU clock of pid " + std::to_string(pid));
  return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

/// Percent of a core that 10,000 signals cost when one comes every 100 us. Real-time ones, which
/// the kernel never merges; their handler counts them.
double rate_once(const contestant& c, board& board) {
  constexpr std::uint32_t count = 10'000;
  auto expected = board.handled + count;
  auto before = cpu_ns(c.master);
  auto next = clock::now();
  for (std::uint32_t i = 0; i < count; ++i) {
    next += std::chrono::microseconds(100);
    std::this_thread::sleep_until(next);  // late: the next ones follow at once
    if (sigqueue(c.master, SIGRTMIN, {}) != 0) throw std::runtime_error(c.name + ": sigqueue");
  }
  for (int left = 1000; left > 0 && board.handled < expected; --left)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  auto spent = cpu_ns(c.master) - before;
  if (board.handled != expected && c.name != "asio")
    throw std::runtime_error(fmt::format("{}: {} of {} signals were handled", c.name,
                                         board.handled - (expected - count), count));
  return spent / 1e9 * 100;  // of the second it took
}

int take_turns(unsigned rounds, const std::vector<contestant>& all,
               const std::function<double(const contestant&)>& measure) {
  results r;
  for (unsigned i = 0; i < rounds; ++i)
    for (std::size_t j = 0; j < all.size(); ++j) {
      const auto& c = all[(i + j) % all.size()];
      r[c.name].push_back(measure(c));
      pause_a_little();
    }
  print(r);
  return 0;
}

int with_boards(unsigned rounds, const std::vector<contestant>& all,
                double (*measure)(const contestant&, board&)) {
  std::map<std::string, board*> boards;
  for (const auto& c : all) boards[c.name] = &map_board(c.board);
  return take_turns(rounds, all,
                    [&](const contestant& c) { return measure(c, *boards.at(c.name)); });
}

}  // namespace

int measure_respawn(unsigned rounds, bool every, const std::vector<contestant>& all) {
  return take_turns(rounds, all, [&](const contestant& c) { return respawn_once(c, every); });
}
int measure_accepted(unsigned rounds, const std::vector<contestant>& all) {
  return take_turns(rounds, all, answer_once);
}
int measure_signal(unsigned rounds, const std::vector<contestant>& all) {
  return with_boards(rounds, all, signal_once);
}
int measure_signal_rate(unsigned rounds, const std::vector<contestant>& all) {
  return with_boards(rounds, all, rate_once);
}

}  // namespace bench
