// Pools that need others: held back until those are there, and started then.
#include "supervision/decide.hpp"
#include "support/world.hpp"

using namespace supervisor;
using namespace std::chrono_literals;
using test::world;

namespace {

struct needy : world {
  ::supervisor::pool open(const std::string& name, spec what, unsigned size = 1) {
    return sup->pool(name, std::move(what), size);
  }
  unsigned living(const std::string& pool) const {
    unsigned n = 0;
    for (auto id : host.living()) n += host.request(id).key.pool == pool;
    return n;
  }
  std::string row(const std::string& pool) const {
    auto slot = sup->find_pool(pool)->status().slots.at(0);
    return slot.state + ' ' + slot.detail;
  }
  void kill_all(const std::string& pool, int number) {
    for (auto id : host.living())
      if (host.request(id).key.pool == pool) host.kill(id, number);
    host.poll();
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(needs, needy)

BOOST_AUTO_TEST_CASE(each_need_is_met_in_its_time) {
  host.on_launch = [](auto& request) {
    script s;
    if (request.key.pool != "db") return s;
    s.ready_after = (request.slot + 1) * 10s;
    s.exits_after = 60s;
    s.exit_with = exit_status::exited(0);
    return s;
  };
  open("a", spec("serve").after("db", need::started));
  open("b", spec("serve").after("db"));
  open("c", spec("serve").after("db", need::healthy));
  open("d", spec("serve").after("db", need::completed));
  auto all = [&] {
    std::string there;
    for (std::string name : {"a", "b", "c", "d"}) there += living(name) ? name : "-";
    return there;
  };
  host.run_for(1h);  // it is not even there
  BOOST_TEST(all() == "----");
  BOOST_TEST(row("b") == "waiting for db: ready");
  spec db("serve");
  db.restart.transient();
  open("db", db, 2);
  host.run_for(1s);
  BOOST_TEST(all() == "a---");
  host.run_for(10s);
  BOOST_TEST(all() == "ab--");
  host.run_for(10s);
  BOOST_TEST(all() == "abc-");
  host.run_for(1min);
  BOOST_TEST(all() == "abcd");
}

BOOST_AUTO_TEST_CASE(who_waits_is_settled_and_says_for_what) {
  auto web = open("web", spec("serve").after("db"), 2);
  auto stands = run(web.settled());
  BOOST_TEST((stands.error == errc::degraded));
  BOOST_TEST(stands.reason == "slot 0 is waiting for db: ready");
  BOOST_TEST(run(web.resize(3)).reason == "slot 0 is waiting for db: ready");
  BOOST_TEST(run(web.stop()).ok);
  BOOST_TEST(host.launches() == 0u);
}

// Said anew, they roll nobody: who runs goes on, who waits is started as soon as may be.
BOOST_AUTO_TEST_CASE(a_change_of_needs_is_no_rollout) {
  auto web = open("web", spec("serve").after("db"), 2);
  host.run_for(1s);
  BOOST_TEST(living("web") == 0u);
  web.needs({});
  host.run_for(1s);
  BOOST_TEST(living("web") == 2u);
  BOOST_TEST(web.what().needs.empty());

  web.needs({requirement("db", need::ready)});
  host.run_for(1s);
  BOOST_TEST(living("web") == 2u);
  kill_all("web", SIGKILL);
  host.run_for(1s);
  BOOST_TEST(living("web") == 0u);
  BOOST_TEST(row("web") == "waiting for db: ready");
  open("db", spec("serve"));
  host.run_for(1min);
  BOOST_TEST(living("web") == 2u);
  BOOST_TEST(web.status().generation == 1u);
  BOOST_TEST(count(event_kind::rollout_started) == 0u);
  BOOST_CHECK_THROW(web.needs({requirement("", need::ready)}), std::invalid_argument);
}

// systemd#18856: what had failed for want of a dependency stays down when that is back.
BOOST_AUTO_TEST_CASE(dependents_start_by_themselves_when_the_dependency_recovers) {
  bool db_works = true;
  host.on_launch = [&](auto& request) {
    script s;
    if (request.key.pool == "db" && !db_works) {
      s.ready_after.reset();
      s.exits_after = 1ms;
      s.exit_with = exit_status::exited(1);
    }
    return s;
  };
  spec db("serve"), web("serve");
  db.restart.fixed(1s);
  web.restart.give_up();
  web.after("db");
  open("db", db);
  open("web", web, 3);
  host.run_for(1min);
  BOOST_TEST(living("web") == 3u);

  db_works = false;
  kill_all("db", SIGKILL);
  host.run_for(1s);
  BOOST_TEST(living("web") == 3u);  // what runs goes on
  kill_all("web", SIGSEGV);
  host.run_for(1h);
  BOOST_TEST(living("web") == 0u);
  BOOST_TEST(row("web") == "waiting for db: ready");
  // It was no failure of theirs: the policy would have given up at the first.
  for (auto& s : state("web").slots) {
    BOOST_TEST(s.failures == 0u);
    BOOST_TEST((s.last_cause == exit_cause::dependency));
  }
  db_works = true;
  host.run_for(2s);
  BOOST_TEST(living("db") == 1u);
  BOOST_TEST(living("web") == 3u);
  BOOST_TEST(run(sup->find_pool("web")->settled()).ok);
}

BOOST_AUTO_TEST_CASE(a_chain_starts_in_its_order) {
  host.on_launch = [](auto&) {
    script s;
    s.ready_after = 1s;
    return s;
  };
  open("c", spec("serve").after("b"));
  open("b", spec("serve").after("a"));
  open("a", spec("serve"));
  host.run_for(10s);
  std::string order;
  for (auto& e : events)
    if (e.kind == event_kind::worker_ready) order += e.pool;
  BOOST_TEST(order == "abc");
  BOOST_TEST(count(event_kind::pool_held) == 2u);
  BOOST_TEST(count(event_kind::pool_released) == 2u);
}

BOOST_AUTO_TEST_CASE(nobody_is_started_while_it_is_held) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) BOOST_TEST_CONTEXT("seed " << seed) {
      needy w;
      w.host.shuffle();
      w.host.on_launch = [&](auto& request) {
        script s;
        s.ready_after = w.host.random() % 1000 * 1ms;
        if (request.key.pool == "db") s.exits_after = w.host.random() % 4000 * 1ms;
        return s;
      };
      w.open("db", spec("serve"));
      w.open("web", spec("serve").after("db"), 3);
      bool held = true;
      auto watch = w.log.subscribe([&](const event& e) {
        if (e.kind == event_kind::worker_launched && e.pool == "web")
          held = held && w.sup->find_pool("db")->ready() == 1;
      });
      for (int i = 0; i < 30; ++i) {
        w.kill_all("web", SIGKILL);
        w.host.run_for(w.host.random() % 3000 * 1ms);
      }
      BOOST_TEST(held);
      w.host.on_launch = nullptr;
      w.kill_all("db", SIGKILL);
      w.host.run_for(2min);
      BOOST_TEST(w.living("web") == 3u);
    }
}

BOOST_AUTO_TEST_CASE(circles_are_refused) {
  open("a", spec("serve").after("b"));
  open("b", spec("serve").after("c"));
  BOOST_CHECK_THROW(open("c", spec("serve").after("a")), std::invalid_argument);
  BOOST_CHECK_THROW(open("d", spec("serve").after("d")), std::invalid_argument);
  open("c", spec("serve"));
  host.run_for(1min);
  BOOST_TEST(living("a") == 1u);
}

BOOST_AUTO_TEST_CASE(a_rollout_may_change_what_is_needed) {
  auto web = open("web", spec("serve"));
  settle(web);
  auto rolled = begin(web.roll(spec("serve").after("db")));
  host.run_for(1min);
  BOOST_TEST(living("web") == 1u);
  BOOST_TEST(!rolled->has_value());
  open("db", spec("serve"));
  host.run_for(1min);
  BOOST_REQUIRE(rolled->has_value());
  BOOST_TEST((*rolled)->ok);
}

BOOST_AUTO_TEST_SUITE_END()
