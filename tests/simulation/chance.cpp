// Random lives, by seed: whatever happens, the state is the fold of the events, every child is a
// slot's and no slot has two, a rollout has one worker too many at most, nobody is killed without a
// recorded reason, every child is reported once, every command is answered, and once the trouble
// ends the pool is as it is wanted.
#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "supervision/decide.hpp"
#include "support/world.hpp"

using namespace supervisor;
using namespace std::chrono_literals;
using test::world;

namespace {

class life : world {
 public:
  explicit life(std::uint64_t seed) : world(seed), dice_(seed) {
    host.on_launch = [this](auto&) { return troubled_ ? any_script() : script{}; };
    host.on_open = [this](auto&, auto) {
      program_script s;
      s.opens_after = up_to(2s);
      if (troubled_ && one_in(4)) s.fails = launch_error{"exec", ENOENT, "/srv/web"};
      return s;
    };
    if (seed % 2) host.shuffle();
    web(3);
    check_each_event();
  }

  void run_all() {
    for (int i = 0; i < 40; ++i) {
      something_happens();
      live_for(up_to(4s));
    }
    troubled_ = false;
    auto pool = *sup->find_pool("web");
    give(pool.resize(4));
    live_for(30min);
    for (auto& answer : answers_) BOOST_TEST(answer->has_value());
    BOOST_TEST(settled(state()));
    BOOST_TEST(pool.ready() == 4u);
    BOOST_TEST(host.living().size() == 4u);
    for (auto id : host.living()) BOOST_TEST(host.request(id).generation == state().generation);
    run(pool.stop());
    BOOST_TEST(host.living().empty());
    BOOST_TEST(always_the_fold_);
    BOOST_TEST(every_child_is_a_slots_);
    BOOST_TEST(one_too_many_at_most_);
    check_kills();
    check_reports();
    for (auto& e : events) BOOST_TEST(e.cause < e.id);
  }

 private:
  unsigned below(unsigned n) { return static_cast<unsigned>(dice_() % n); }
  bool one_in(unsigned n) { return below(n) == 0; }
  duration up_to(duration d) { return d / 1000 * below(1001); }

  script any_script() {
    script s;
    s.launch_takes = up_to(200ms);
    s.ready_after = up_to(2s);
    s.drain_takes = up_to(3s);
    s.reap_takes = up_to(1s);
    if (one_in(12)) s.launch_fails = launch_error{"clone", one_in(2) ? EAGAIN : EMFILE, ""};
    if (one_in(12)) s.launch_fails = launch_error{"mold", ECANCELED, "it ended: SIGKILL"};
    if (one_in(8)) s.reap_takes = {};
    if (one_in(12)) s.ready_after.reset();
    if (one_in(6)) {
      s.exits_after = up_to(5s);
      s.exit_with = one_in(2) ? exit_status::exited(1) : exit_status::signalled(SIGSEGV);
    }
    s.out_of_memory = one_in(20);
    s.ignores_stop = one_in(10);
    if (one_in(15)) s.hangs_after = up_to(10s);
    return s;
  }

  void something_happens() {
    auto pool = *sup->find_pool("web");
    switch (below(12)) {
      case 0:
        return give(pool.resize(below(7)));
      case 1:
        return give(pool.roll());
      case 6:  // its first half second, or the mold's start, is another's too
        give(pool.roll());
        live_for(up_to(500ms));
        return give(one_in(2) ? pool.roll() : pool.drain());
      case 7: {
        spec next("serve");
        next.boot_timeout = 1s + up_to(3s);
        next.stop = {{SIGINT, 1s}, {SIGTERM, up_to(2s)}};
        return give(pool.roll(next));
      }
      case 8:
        give(pool.restart(below(5)));
        give(pool.roll());
        return give(pool.resize(below(7)));
      case 2:
        return give(pool.restart(below(5)));
      case 3:
        return give(pool.drain());
      case 4:
        return give(pool.resume());
      case 5:
        return die_and_rise();
      default:
        for (auto id : host.living())
          if (one_in(3)) host.kill(id, one_in(3) ? SIGTERM : one_in(2) ? SIGKILL : SIGSEGV);
    }
  }

  void give(boost::asio::awaitable<outcome> command) {
    answers_.push_back(begin(std::move(command)));
  }

  void die_and_rise() {
    answers_.clear();
    mortal_ = true;
    auto written = state();
    auto specs = keeper().specs();
    crash();
    boot();
    sup->adopt(std::move(written), std::move(specs));
    check_each_event();
  }

  /// From now on, at each event; the pool is told before this sink is.
  void check_each_event() {
    folded_ = {};
    folded_.name = "web";
    for (auto& e : events) apply(folded_, e);
    checker_ = log.subscribe([this](const event& e) {
      apply(folded_, e);
      always_the_fold_ = always_the_fold_ && folded_ == state();
    });
  }

  void live_for(duration d) {
    auto end = host.now() + d;
    auto reached = [&] {
      look();
      return host.now() >= end;
    };
    if (!host.run_until(reached, d)) host.run_for(end - host.now());
  }

  void look() {
    std::set<std::uint64_t> slots;
    for (auto id : host.living()) {
      auto& key = host.request(id).key;
      auto* s = state().find(key.slot_id);
      bool known = s && s->child == id && s->launches == key.launch;
      every_child_is_a_slots_ =
          every_child_is_a_slots_ && known && slots.insert(key.slot_id).second;
    }
    auto rolled_in = [&](const slot_state& s) {
      auto* old = s.replaces && s.retiring == exit_cause::none ? state().find(s.replaces) : nullptr;
      return old && old->generation != s.generation;
    };
    one_too_many_at_most_ =
        one_too_many_at_most_ && std::ranges::count_if(state().slots, rolled_in) <= 1;
  }

  void check_kills() {
    std::multiset<std::pair<std::uint64_t, std::int64_t>> steps;
    for (auto& e : events)
      if (e.kind == event_kind::worker_stopping || e.kind == event_kind::worker_escalated) {
        BOOST_TEST((e.kind == event_kind::worker_escalated || e.why != exit_cause::none));
        steps.emplace(e.child, e.number);
      }
    for (auto& [child, number] : host.sent) {
      auto step = steps.find({child, number});
      BOOST_REQUIRE((step != steps.end()));
      steps.erase(step);
    }
  }

  /// A supervisor that died may have taken a report along; nobody hears one twice.
  void check_reports() {
    std::map<pid_t, unsigned> told;
    for (auto& e : events)
      if (e.kind == event_kind::worker_reported && e.pid > 0) ++told[e.pid];
    for (auto& [pid, times] : told) BOOST_TEST(times == 1u);
    auto reports = count(event_kind::worker_reported);
    BOOST_TEST((mortal_ ? reports <= host.launches() : reports == host.launches()));
  }

  std::mt19937_64 dice_;
  bool troubled_ = true;
  pool_state folded_;
  std::shared_ptr<void> checker_;
  std::vector<test::result<outcome>> answers_;
  bool mortal_ = false;
  bool always_the_fold_ = true;
  bool every_child_is_a_slots_ = true;
  bool one_too_many_at_most_ = true;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(chance)

BOOST_AUTO_TEST_CASE(random_lives) {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) BOOST_TEST_CONTEXT("seed " << seed) {
      life(seed).run_all();
    }
}

BOOST_AUTO_TEST_SUITE_END()
