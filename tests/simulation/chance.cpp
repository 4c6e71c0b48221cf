// Random lives, by seed: whatever happens, every promise of invariants.hpp holds, every command is
// answered, and once the trouble ends the pool is as it is wanted.
#include <random>

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
    host.loop().at_rest = [this] { promises.at_rest(); };
    web(3);
  }

  void run_all() {
    for (int i = 0; i < 40; ++i) {
      something_happens();
      live_for(up_to(4s));
    }
    troubled_ = false;
    auto pool = *sup->find_pool("web");
    give(pool.resume_rollout());
    give(pool.resize(4));
    live_for(30min);
    for (auto& answer : answers_) BOOST_TEST(answer->has_value());
    BOOST_TEST(settled(state()));
    BOOST_TEST(pool.ready() == 4u);
    BOOST_TEST(host.living().size() == 4u);
    for (auto id : host.living()) BOOST_TEST(host.request(id).generation == state().generation);
    run(pool.stop());
    host.poll();
    promises.at_end();
    BOOST_TEST(promises.broken() == "");
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
    switch (below(16)) {
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
      case 9:
        return give(pool.roll(any_rollout()));
      case 10:
        give(pool.roll(any_rollout()));
        live_for(up_to(4s));
        give(pool.pause_rollout());
        live_for(up_to(4s));
        return give(one_in(3) ? pool.abort_rollout() : pool.resume_rollout());
      case 11:
        return give(one_in(2) ? pool.undo() : pool.undo(below(8), any_rollout()));
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

  /// Without a health check: one that dies with its supervisor would be waited for.
  rollout_options any_rollout() {
    return rollout_options()
        .canary(below(4))
        .bake(up_to(8s))
        .batch(below(4))
        .max_unavailable(one_in(2) ? 0 : below(3))
        .progress_deadline(one_in(2) ? 10min : up_to(20s))
        .keep_generations(below(4));
  }

  void give(boost::asio::awaitable<outcome> command) {
    answers_.push_back(begin(std::move(command)));
  }

  void die_and_rise() {
    answers_.clear();
    auto written = state();
    auto specs = keeper().specs();
    crash();
    boot();
    sup->adopt(std::move(written), std::move(specs));
  }

  void live_for(duration d) {
    auto end = host.now() + d;
    auto reached = [&] {
      promises.look();
      return host.now() >= end;
    };
    if (!host.run_until(reached, d)) host.run_for(end - host.now());
  }

  std::mt19937_64 dice_;
  bool troubled_ = true;
  std::vector<test::result<outcome>> answers_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(chance)

BOOST_AUTO_TEST_CASE(random_lives) {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) BOOST_TEST_CONTEXT("seed " << seed) {
      life(seed).run_all();
    }
}

BOOST_AUTO_TEST_SUITE_END()
