// The table of doc/slots.md, states by events, against what slots do: whatever happens in it is
// seen here, and nothing else ever happens.
//
// After a change that is meant to be seen in it:
// SUPERVISOR_WRITE_TABLE=1 test_simulation --run_test=slot_table prints the table.
#include <array>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include "support/world.hpp"

using namespace supervisor;
using namespace std::chrono_literals;
using test::world;

namespace {

constexpr std::array<const char*, 9> states{"waiting",  "backing_off", "launching",
                                            "starting", "ready",       "stopping",
                                            "finished", "given_up",    "gone"};
/// Those that may change where a slot stands, and those that are told of one that stays.
const std::vector<event_kind> kinds{
    event_kind::worker_launched, event_kind::worker_started,   event_kind::worker_ready,
    event_kind::worker_status,   event_kind::worker_reloading, event_kind::worker_reloaded,
    event_kind::worker_spent,    event_kind::worker_ailing,    event_kind::worker_recovered,
    event_kind::worker_stopping, event_kind::worker_escalated, event_kind::worker_exited,
    event_kind::slot_retiring,   event_kind::slot_removed,     event_kind::pool_resumed,
    event_kind::pool_stopping};

std::string name_of(phase p) { return states.at(static_cast<std::size_t>(p)); }

/// By event and state: where slots stood after it.
using cell = std::pair<std::string, std::string>;
using table = std::map<cell, std::set<std::string>>;

struct watcher {
  explicit watcher(world& w, table& into)
      : sink(w.log.subscribe([this, &into](const event& e) {
          if (!e.pool.empty()) take_in(e, into);
        })) {}

  void take_in(const event& e, table& into) {
    auto& pool = pools[e.pool];
    if (e.kind == event_kind::pool_opened) pool = {};
    std::map<std::uint64_t, phase> before;
    for (auto& s : pool.slots)
      if (e.slot_id == 0 || e.slot_id == s.id) before[s.id] = s.now;
    apply(pool, e);
    if (std::ranges::find(kinds, e.kind) == kinds.end()) return;
    for (auto& [id, stood] : before) {
      auto* s = pool.find(id);
      into[{std::string(to_string(e.kind)), name_of(stood)}].insert(s ? name_of(s->now) : "none");
    }
  }

  std::map<std::string, pool_state> pools;
  std::shared_ptr<void> sink;
};

restart_policy any_policy(unsigned n) {
  switch (n % 6) {
    case 0:
      return restart_policy().transient().give_up(1, 30s);
    case 1:
      return restart_policy().temporary();
    case 2:
      return restart_policy().escalate(1, 60s);
    case 3:
      return restart_policy().fixed(0s);
    case 4:
      return restart_policy().half_open(1, 30s, 5s);
    default:
      return {};
  }
}

/// A pool to which everything happens.
class life : world {
 public:
  life(std::uint64_t seed, table& into) : world(seed), seed_(seed), watching_(*this, into) {
    host.shuffle();
    host.on_launch = [this](auto&) { return any_script(); };
    host.on_probe = [this](auto, auto&) {
      probe_answer answer;
      if (one_in(3)) answer.result = {false, "503"};
      return answer;
    };
    host.on_open = [this](auto&, auto) {
      program_script s;
      s.opens_after = up_to(2s);
      if (one_in(3)) s.fails = launch_error{"exec", ENOENT, "/srv/web"};
      return s;
    };
    web(3, what());
  }

  void run_all() {
    for (int i = 0; i < 40; ++i) {
      something_happens();
      host.run_for(up_to(4s));
    }
    auto pool = *sup->find_pool("web");
    auto stopping = begin(pool.stop());
    host.run_for(up_to(3s));
    if (one_in(2)) static_cast<void>(pool.stop(true));
    BOOST_TEST(host.run_until([&] { return stopping->has_value(); }));
    BOOST_TEST(promises.broken() == "");
  }

 private:
  unsigned below(unsigned n) { return static_cast<unsigned>(host.random() % n); }
  bool one_in(unsigned n) { return below(n) == 0; }
  duration up_to(duration d) { return d / 1000 * below(1001); }

  spec what() {
    spec s("serve");
    s.restart = any_policy(static_cast<unsigned>(seed_));
    s.stop = {{SIGINT, 1s}, {SIGTERM, 2s}};
    s.recycle.max_age = 10s;
    s.boot_timeout = 4s;
    if (seed_ % 3 == 0) s.starts = {2, 0.5};
    s.liveness.push_back(::supervisor::probe::http("127.0.0.1:1").every(2s).ill_after(2));
    return s;
  }

  script any_script() {
    script s;
    s.launch_takes = up_to(200ms);
    s.ready_after = up_to(2s);
    s.drain_takes = up_to(3s);
    s.status = std::to_string(below(100));
    if (one_in(8)) s.launch_fails = launch_error{"clone", EAGAIN, ""};
    if (one_in(12)) s.ready_after.reset();
    if (one_in(4)) {
      s.exits_after = up_to(5s);
      s.exit_with = one_in(2) ? exit_status::exited(static_cast<int>(below(2)))
                              : exit_status::signalled(SIGSEGV);
    }
    s.ignores_stop = one_in(8);
    if (one_in(4)) s.reloads_after = up_to(5s);
    s.reload_takes = up_to(2s);
    if (one_in(15)) s.hangs_after = up_to(10s);
    return s;
  }

  void something_happens() {
    auto pool = *sup->find_pool("web");
    switch (below(10)) {
      case 0:
        return give(pool.resize(below(6)));
      case 1:
        return give(pool.roll(rollout_options().bake(up_to(3s)).batch(1 + below(3))));
      case 2:
        return give(pool.restart(below(4)));
      case 3:
        return give(pool.drain());
      case 4:
      case 5:
        return give(pool.resume());
      case 6:
        return give(pool.abort_rollout());
      default:
        for (auto id : host.living())
          if (one_in(3)) host.kill(id, one_in(2) ? SIGKILL : SIGSEGV);
    }
  }
  /// Recorded at its call.
  static void give(const boost::asio::awaitable<outcome>&) {}

  std::uint64_t seed_;
  watcher watching_;
};

std::string print(const table& all) {
  std::string text = "| event |";
  for (auto* state : states) text += std::string(" ") + state + " |";
  text += "\n|---|";
  for (std::size_t i = 0; i < states.size(); ++i) text += "---|";
  text += '\n';
  for (auto kind : kinds) {
    text += "| `" + std::string(to_string(kind)) + "` |";
    for (std::string state : states) {
      auto known = all.find({std::string(to_string(kind)), state});
      std::string words;
      for (auto& next : known == all.end() ? std::set<std::string>() : known->second)
        words += (words.empty() ? "" : ", ") + (next == state ? "·" : next);
      text += ' ' + (words.empty() ? "–" : words) + " |";
    }
    text += '\n';
  }
  return text;
}

std::string documented() {
  std::ifstream file(TEST_SOURCE "/libsupervisor/doc/slots.md");
  std::string page{std::istreambuf_iterator<char>(file), {}};
  auto from = page.find("| event |");
  BOOST_REQUIRE(from != page.npos);
  return page.substr(from, page.find("\n\n", from) + 1 - from);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(slot_table)

BOOST_AUTO_TEST_CASE(every_cell_is_visited_and_none_but_these) {
  table seen;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) BOOST_TEST_CONTEXT("seed " << seed) {
      life(seed, seen).run_all();
    }
  if (std::getenv("SUPERVISOR_WRITE_TABLE")) std::puts(print(seen).c_str());
  std::istringstream told(documented()), happened(print(seen));
  std::string a, b;
  while (std::getline(told, a)) {
    std::getline(happened, b);
    BOOST_TEST(a == b);
  }
  BOOST_TEST(!std::getline(happened, b));
}

BOOST_AUTO_TEST_SUITE_END()
