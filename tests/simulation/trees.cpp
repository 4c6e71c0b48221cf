// Groups within groups, pools in groups, and how a tree begins and ends.
#include <random>

#include "supervision/group_keeper.hpp"
#include "support/stage.hpp"

using namespace supervisor;
using namespace std::chrono_literals;
using test::kinds;
using test::split;
using test::stage;

namespace {

script dies_at_boot() {
  script s;
  s.ready_after.reset();
  s.exits_after = 1ms;
  s.exit_with = exit_status::exited(70);
  return s;
}

std::string states(const ::supervisor::group& app) {
  std::string all;
  for (auto& child : app.status().children)
    all += (all.empty() ? "" : " ") + child.name + '=' + child.state;
  return all;
}

/// app: one_for_one of a, sub (one_for_all of b, c), d
group_spec nested(stage& on, unsigned inner_intensity = 3, unsigned outer_intensity = 3) {
  auto inner = group_spec(strategy::one_for_all).intensity(inner_intensity, 60s);
  on.add(inner, "b:p c:p");
  auto outer = group_spec(strategy::rest_for_one).intensity(outer_intensity, 60s);
  on.add(outer, "a:p");
  outer.child(child_spec::group("sub", std::move(inner)));
  return on.add(outer, "d:p");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(trees)

BOOST_AUTO_TEST_CASE(a_tree_starts_from_left_to_right_and_stops_from_right_to_left) {
  for (auto kind : kinds) BOOST_TEST_CONTEXT(to_string(kind)) {
      stage on(kind);
      auto app = on.open(nested(on));
      BOOST_TEST(on.take_trace() == "+a +sub +b +c +d");
      BOOST_TEST(states(app) == "a=running sub=running d=running");
      BOOST_TEST(on.run(app.settled()).ok);
      BOOST_TEST(on.run(app.stop()).ok);
      BOOST_TEST(on.take_trace() == "! -d -sub ! -c -b . -a .");
      BOOST_TEST(on.run(app.ended()).ok);
    }
}

BOOST_AUTO_TEST_CASE(a_group_that_fails_is_restarted_by_the_one_it_is_in) {
  for (auto kind : kinds) BOOST_TEST_CONTEXT(to_string(kind)) {
      stage on(kind);
      auto app = on.open(nested(on, 1));
      on.take_trace();
      on.end("b", ending::abnormal);
      on.host.run_for(1s);
      BOOST_TEST(on.take_trace() == "-c +b +c");
      on.end("c", ending::abnormal);
      on.host.run_for(1s);
      BOOST_TEST(on.take_trace() == "! -b . -d +sub +b +c +d");
      BOOST_TEST(states(app) == "a=running sub=running d=running");
      // The new one counts from nothing.
      on.end("c", ending::abnormal);
      on.host.run_for(1s);
      BOOST_TEST(on.take_trace() == "-b +b +c");
    }
}

BOOST_AUTO_TEST_CASE(an_escalation_goes_up_to_the_top_and_ends_the_policy) {
  for (auto kind : kinds) BOOST_TEST_CONTEXT(to_string(kind)) {
      stage on(kind);
      auto app = on.open(nested(on, 0, 0));
      auto policy = [](::supervisor::supervisor& self) -> boost::asio::awaitable<int> {
        until stop{SIGINT};
        handlers none;
        auto event = co_await self.serve(none, std::move(stop));
        co_return event.number;
      };
      auto served = on.begin(policy(*on.sup));
      on.take_trace();
      on.end("b", ending::abnormal);
      on.host.run_for(1s);
      BOOST_TEST(on.take_trace() == "! -c . ! -d -a .");
      auto ended = on.run(app.ended());
      BOOST_TEST((ended.error == errc::degraded));
      BOOST_TEST(ended.reason.starts_with("child sub has ended: child b has ended: "),
                 ended.reason);
      BOOST_REQUIRE(served->has_value());
      BOOST_TEST(**served == SIGTERM);
      BOOST_TEST(on.sup->stop_requested());
    }
}

BOOST_AUTO_TEST_CASE(sup_start_fail) {
  for (auto kind : kinds) BOOST_TEST_CONTEXT(to_string(kind)) {
      stage on(kind);
      on.fail_next("b", 1);
      group_spec what;
      auto app = on.open(on.add(what, "a:p b:p c:p"));
      BOOST_TEST(on.take_trace() == "+a +b ! -a .");
      auto settled = on.run(app.settled());
      BOOST_TEST((settled.error == errc::pool_closed));
      BOOST_TEST(settled.reason.find("child b did not start") != std::string::npos);
      BOOST_TEST(!on.run(app.ended()).ok);
      // Its names are free again.
      on.host.run_for(1s);
      group_spec again;
      BOOST_TEST(on.run(on.open(on.add(again, "a:p b:p")).settled()).ok);
    }
}

BOOST_AUTO_TEST_CASE(a_group_that_does_not_start_fails_the_one_it_is_in) {
  for (auto kind : kinds) BOOST_TEST_CONTEXT(to_string(kind)) {
      stage on(kind);
      on.fail_next("c", 1);
      auto app = on.open(nested(on));
      BOOST_TEST(on.take_trace() == "+a +sub +b +c ! -b . ! -a .");
      BOOST_TEST(!on.run(app.ended()).ok);
    }
}

BOOST_AUTO_TEST_CASE(a_group_that_shuts_itself_down_ends_in_order) {
  for (auto kind : kinds) BOOST_TEST_CONTEXT(to_string(kind)) {
      stage on(kind);
      auto inner = group_spec().ends(auto_shutdown::any_significant);
      on.add(inner, "b:p c:t!");
      auto sub = child_spec::group("sub", std::move(inner)).transient();
      group_spec outer;
      on.add(outer, "a:p").child(sub);
      auto app = on.open(std::move(outer));
      on.take_trace();
      on.end("c", ending::normal);
      on.host.run_for(1s);
      BOOST_TEST(on.take_trace() == "! -b .");
      BOOST_TEST(states(app) == "a=running sub=stopped");
      BOOST_TEST(on.run(app.restart_child("sub")).ok);
      BOOST_TEST(on.take_trace() == "+sub +b +c");
    }
}

BOOST_AUTO_TEST_CASE(a_stop_while_it_starts_stops_what_has_started) {
  stage on(child_spec::kind::process);
  on.host.on_launch = [](auto& request) {
    script s;
    if (request.key.pool == "b") s.ready_after = 10s;
    return s;
  };
  group_spec what;
  auto app = on.open(on.add(what, "a:p b:p c:p"));
  BOOST_TEST(states(app) == "a=running b=starting c=waiting");
  BOOST_TEST(on.run(app.stop()).ok);
  BOOST_TEST(on.take_trace() == "+a +b ! -b -a .");
  BOOST_TEST(on.host.living().empty());
}

BOOST_AUTO_TEST_CASE(a_child_that_ignores_its_stop_is_killed_and_the_others_wait) {
  stage on(child_spec::kind::process);
  on.host.on_launch = [](auto& request) {
    script s;
    s.ignores_stop = request.key.pool == "b";
    return s;
  };
  group_spec what;
  auto app = on.open(on.add(what, "a:p b:p"));
  auto began = on.host.now();
  BOOST_TEST(on.run(app.stop()).ok);
  BOOST_TEST((on.host.now() - began == 30s));  // the ladder of its spec
  BOOST_TEST(on.host.sent.size() == 3u);
  BOOST_TEST(on.host.sent.back().second == SIGTERM);
}

BOOST_AUTO_TEST_CASE(a_quick_stop_waits_for_nobody) {
  stage on(child_spec::kind::process);
  on.host.on_launch = [](auto&) {
    script s;
    s.ignores_stop = true;
    return s;
  };
  group_spec what;
  on.open(on.add(what, "a:p b:p c:p"));
  auto began = on.host.now();
  on.run_void(on.sup->stop_all(true));
  BOOST_TEST((on.host.now() - began == 1s));
  BOOST_TEST(on.host.living().empty());
}

BOOST_AUTO_TEST_CASE(a_pool_answers_for_its_slots_until_it_escalates) {
  stage on(child_spec::kind::coroutine);
  bool broken = false;
  on.host.on_launch = [&](auto& request) {
    return broken && request.slot ? dies_at_boot() : script();
  };
  spec what("serve");
  what.restart.fixed(1s).escalate(2, 60s);
  auto tree = group_spec(strategy::one_for_all).intensity(1, 60s);
  tree.child(child_spec::pool("web", what, 3));
  auto app = on.open(on.add(tree, "side:p"));
  BOOST_TEST(on.take_trace() == "+web +side");
  auto web = *on.sup->find_pool("web");
  BOOST_TEST(web.ready() == 3u);

  // One death is the slot's own affair.
  on.host.kill(on.host.living()[1], SIGSEGV);
  on.host.run_for(10s);
  BOOST_TEST(on.take_trace() == "");
  BOOST_TEST(web.ready() == 3u);

  broken = true;
  on.host.kill(on.host.living()[1], SIGSEGV);
  on.host.run_for(500ms);
  BOOST_TEST(on.take_trace() == "");
  BOOST_TEST(on.host.run_until([&] { return on.count(event_kind::pool_escalated) == 1; }, 10s));
  broken = false;
  on.host.run_for(1s);
  BOOST_TEST(on.take_trace() == "-side +web +side");
  BOOST_TEST(web.ready() == 3u);  // the same pool, by the same handle
}

BOOST_AUTO_TEST_CASE(a_pool_of_jobs_ends_with_the_last_of_them) {
  for (bool fails : {false, true}) BOOST_TEST_CONTEXT("fails " << fails) {
      stage on(child_spec::kind::process);
      on.host.on_launch = [&](auto& request) {
        script s;
        s.exits_after = (request.slot + 1) * 1s;
        s.exit_with = exit_status::exited(fails && request.slot == 0);
        return s;
      };
      spec what("serve");
      what.restart.temporary();
      auto tree = group_spec().ends(auto_shutdown::all_significant).intensity(0, 1s);
      tree.child(child_spec::pool("jobs", what, 3).transient().significant());
      auto app = on.open(tree);
      auto ended = on.run(app.ended(), 10s);
      BOOST_TEST(ended.ok == !fails);
      BOOST_TEST(on.host.launches() == 3u);
    }
}

BOOST_AUTO_TEST_CASE(a_drained_pool_has_not_ended) {
  stage on(child_spec::kind::process);
  group_spec tree;
  tree.child(child_spec::pool("web", spec("serve"), 2));
  auto app = on.open(tree);
  auto web = *on.sup->find_pool("web");
  on.run(web.drain());
  on.host.run_for(1min);
  BOOST_TEST(states(app) == "web=running");
  BOOST_TEST(on.host.living().empty());
  BOOST_TEST(on.run(web.resume()).ok);
  BOOST_TEST(on.run(web.roll()).ok);
  BOOST_TEST(on.run(web.resize(5)).ok);
  BOOST_TEST(states(app) == "web=running");
  // Somebody stops it: its end, and it is opened anew.
  on.run(web.stop());
  on.host.run_for(1s);
  BOOST_TEST(states(app) == "web=running");
  BOOST_TEST(on.sup->find_pool("web")->ready() == 2u);
}

BOOST_AUTO_TEST_CASE(what_is_wrong_with_a_group) {
  stage on(child_spec::kind::process);
  auto complaint = [&](group_spec what) {
    try {
      on.sup->group("app", std::move(what));
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  group_spec unnamed, twice, inner, deep, significant, permanent, broken, empty, taken, period;
  BOOST_TEST(complaint(on.add(unnamed, ":p")) == "group app: a child without a name");
  BOOST_TEST(complaint(on.add(twice, "a:p a:p")) == "group app: two children are named a");
  on.add(inner, "a:p");
  on.add(deep, "a:p").child(child_spec::group("sub", inner));
  BOOST_TEST(complaint(deep) == "group app: two children are named a");
  BOOST_TEST(complaint(on.add(significant, "a:t!")).find("never shuts itself down") !=
             std::string::npos);
  permanent.ends(auto_shutdown::any_significant);
  BOOST_TEST(complaint(on.add(permanent, "a:p!")).find("permanent") != std::string::npos);
  broken.child(child_spec::process("a", spec("")));
  BOOST_TEST(complaint(broken).starts_with("group app: child a: "), complaint(broken));
  empty.child(child_spec::coroutine("a", child_spec::coroutine_function()));
  BOOST_TEST(complaint(empty) == "group app: child a: no coroutine");
  period.intensity(1, 0s);
  BOOST_TEST(complaint(period) == "group app: the intensity's period is not positive");
  on.web(1);
  BOOST_TEST(complaint(on.add(taken, "web:p")) == "the name web is taken");
  BOOST_TEST(on.count(event_kind::group_opened) == 0u);
}

// What the rows say is so for any group, any children and any fates: of either kind they are told
// the same, and the state of the group is the fold of its events.
BOOST_AUTO_TEST_CASE(any_tree_is_the_same_with_processes_and_coroutines) {
  for (unsigned seed = 1; seed <= 150; ++seed) BOOST_TEST_CONTEXT("seed " << seed) {
      std::vector<std::string> traces;
      for (auto kind : kinds) {
        std::mt19937 dice(seed);
        auto below = [&](unsigned n) { return static_cast<unsigned>(dice() % n); };
        stage on(kind);
        auto what = group_spec(static_cast<strategy>(below(3))).intensity(below(6), 60s);
        what.ends(static_cast<auto_shutdown>(below(3)));
        const std::string names = "abcd";
        for (char name : names) {
          std::string text = {name, ':', "pty"[below(3)]};
          bool may = text.back() != 'p' && what.shutdown != auto_shutdown::never;
          on.add(what, text + (may && below(2) ? "!" : ""));
        }
        auto begun = begin_group("app", what);
        auto app = on.open(what);
        for (unsigned step = 0; step < 12; ++step) {
          std::string name(1, names[below(4)]);
          auto what_happens = below(5);
          if (what_happens == 0) on.fail_next(name, 1);
          if (what_happens == 1) on.run(app.stop_child(name));
          if (what_happens == 2) on.run(app.restart_child(name));
          auto how = static_cast<ending>(below(3));
          if (what_happens > 2) on.end(name, how);
          on.host.run_for(1s);
        }
        BOOST_TEST((app.status().state == "running" || app.status().state == "stopped"));
        on.run_void(on.sup->stop_all());
        for (auto& e : on.events)
          if (e.group == "app") apply(begun, e);
        BOOST_TEST((begun.now == group_phase::stopped));
        traces.push_back(on.take_trace());
      }
      BOOST_TEST(traces[0] == traces[1]);
    }
}

BOOST_AUTO_TEST_SUITE_END()
