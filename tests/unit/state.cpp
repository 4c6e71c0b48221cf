// The fold: what each event makes of the state.
#include "supervision/state.hpp"

#include <boost/test/unit_test.hpp>
#include <csignal>

using namespace supervisor;
using namespace std::chrono_literals;

namespace {

struct story {
  event& then(event_kind kind, std::uint64_t slot_id = 0) {
    tell();
    told.emplace(kind);
    told->id = ++id;
    told->at = now;
    told->pool = "web";
    told->slot_id = slot_id;
    return *told;
  }
  pool_state& state() {
    tell();
    return folded;
  }
  slot_state& slot(std::uint64_t slot_id) { return *state().find(slot_id); }
  void open(unsigned target) {
    auto& e = then(event_kind::pool_opened);
    e.count = target;
    e.generation = 1;
  }
  void add(std::uint64_t slot_id, unsigned number, std::uint64_t generation = 1,
           std::uint64_t replaces = 0) {
    auto& e = then(event_kind::slot_added, slot_id);
    e.slot = number;
    e.generation = generation;
    e.number = static_cast<std::int64_t>(replaces);
  }
  void start(std::uint64_t slot_id) {
    then(event_kind::worker_launched, slot_id).child = 50 + slot_id;
    auto& e = then(event_kind::worker_started, slot_id);
    e.pid = 4711;
    e.deadline = now + 60s;
  }
  event& roll_to(std::uint64_t generation) {
    auto& e = then(event_kind::rollout_started);
    e.generation = generation;
    return e;
  }
  static auto plan_of(const rollout_options& how) {
    return std::make_shared<const rollout_plan>(how.plan);
  }
  void exit(std::uint64_t slot_id, int code, unsigned failures, time_point next) {
    auto& e = then(event_kind::worker_exited, slot_id);
    e.exit = exit_status::exited(code);
    e.why = exit_cause::crash;
    e.count = failures;
    e.deadline = next;
  }

  time_point now{1h};

 private:
  void tell() {
    if (told) apply(folded, *told);
    told.reset();
  }
  std::optional<event> told;
  pool_state folded;
  std::uint64_t id = 0;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(state)

BOOST_FIXTURE_TEST_CASE(a_worker_from_launch_to_exit, story) {
  open(1);
  add(1, 0);
  BOOST_TEST((slot(1).now == phase::waiting));
  start(1);
  BOOST_TEST((slot(1).now == phase::starting));
  BOOST_TEST(slot(1).child == 51u);
  BOOST_TEST(slot(1).pid == 4711);
  BOOST_TEST(slot(1).launches == 1u);
  BOOST_TEST(slot(1).restarts == 0u);
  BOOST_TEST((slot(1).deadline == now + 60s));
  now += 2s;
  then(event_kind::worker_ready, 1);
  BOOST_TEST((slot(1).now == phase::ready));
  BOOST_TEST((slot(1).ready_at == now));
  BOOST_TEST((slot(1).deadline == never));
  then(event_kind::worker_status, 1).text = "hello";
  BOOST_TEST(slot(1).status == "hello");
  then(event_kind::worker_reloading, 1).count = 2;
  BOOST_TEST(slot(1).reloading);
  BOOST_TEST(slot(1).reloads == 2u);
  BOOST_TEST((slot(1).now == phase::ready));
  then(event_kind::worker_reloaded, 1);
  BOOST_TEST(!slot(1).reloading);
  BOOST_TEST(slot(1).reloads == 2u);
  then(event_kind::worker_reloading, 1).count = 3;

  exit(1, 70, 3, now + 7s);
  BOOST_TEST((slot(1).now == phase::backing_off));
  BOOST_TEST(slot(1).pid == 0);
  BOOST_TEST(slot(1).child == 0u);
  BOOST_TEST(!slot(1).was_ready());
  BOOST_TEST(slot(1).status.empty());
  BOOST_TEST(!slot(1).reloading);
  BOOST_TEST(slot(1).reloads == 0u);
  BOOST_TEST(slot(1).failures == 3u);
  BOOST_TEST(describe_exit(slot(1)) == "exit 70 (crash)");
  now += 7s;
  start(1);
  BOOST_TEST(slot(1).restarts == 1u);
  exit(1, 70, 1, now);
  BOOST_TEST((slot(1).now == phase::waiting));
}

BOOST_FIXTURE_TEST_CASE(a_slot_that_retires, story) {
  open(2);
  add(1, 0);
  add(2, 1);
  start(2);
  then(event_kind::slot_retiring, 1).why = exit_cause::scaled_down;
  BOOST_TEST((slot(1).now == phase::gone));  // nothing to wait for
  then(event_kind::slot_retiring, 2).why = exit_cause::scaled_down;
  BOOST_TEST((slot(2).now == phase::starting));
  auto& e = then(event_kind::worker_stopping, 2);
  e.why = exit_cause::scaled_down;
  e.deadline = now + 30s;
  BOOST_TEST((slot(2).now == phase::stopping));
  exit(2, 0, 0, never);
  BOOST_TEST((slot(2).now == phase::gone));
  then(event_kind::slot_removed, 2);
  BOOST_TEST(!state().find(2));
  add(7, 0);
  BOOST_TEST(state().last_slot_id == 7u);
}

BOOST_FIXTURE_TEST_CASE(a_successor_stands_behind_and_takes_over, story) {
  open(2);
  add(1, 0);
  add(2, 1);
  start(1);
  exit(1, 1, 1, now);
  start(1);
  add(3, 0, 2, 1);
  std::vector<std::uint64_t> order;
  for (auto& s : state().slots) order.push_back(s.id);
  BOOST_TEST((order == std::vector<std::uint64_t>{1, 3, 2}));
  BOOST_TEST(slot(3).restarts == 1u);
  BOOST_TEST(slot(3).replaces == 1u);
  BOOST_TEST(state().keeper_of(0)->id == 1u);
  then(event_kind::slot_retiring, 1).why = exit_cause::replaced;
  BOOST_TEST(slot(3).replaces == 0u);
  BOOST_TEST(state().keeper_of(0)->id == 3u);
}

BOOST_FIXTURE_TEST_CASE(a_rollout_and_its_trouble, story) {
  open(1);
  add(1, 0);
  roll_to(2).plan = plan_of(rollout_options().bake(30s));
  BOOST_TEST(state().rolling);
  BOOST_TEST(!state().roll.opened);
  BOOST_TEST(state().generation == 2u);
  then(event_kind::program_opened).generation = 1;
  BOOST_TEST(!state().roll.opened);
  then(event_kind::program_opened).generation = 2;
  BOOST_TEST(state().roll.opened);
  add(2, 0, 2, 1);
  start(2);
  exit(2, 3, 1, never);
  BOOST_TEST(state().last_trouble.slot_id == 2u);
  BOOST_TEST(state().roll.trouble == "slot 0: exit 3 (crash)");
  auto& e = then(event_kind::rollout_failed);
  e.generation = 2;
  e.text = "slot 0: exit 3 (crash)";
  BOOST_TEST(!state().rolling);
  BOOST_TEST(state().generation == 1u);
  BOOST_TEST((state().history.back().end == rollout_end::failed));
  BOOST_TEST(state().history.back().why == "slot 0: exit 3 (crash)");
  BOOST_TEST(state().kept.empty());
  BOOST_TEST((state().roll.plan.bake == 30s));  // the way back goes by the plan
  roll_to(3);
  BOOST_TEST(state().last_trouble.slot_id == 0u);
  BOOST_TEST(state().roll.trouble.empty());
  then(event_kind::rollout_committed).generation = 3;
  BOOST_TEST(state().committed == 3u);
  BOOST_TEST((state().kept == std::deque<std::uint64_t>{1}));
}

BOOST_FIXTURE_TEST_CASE(whose_trouble_is_the_rollouts, story) {
  open(2);
  add(1, 0);
  add(2, 1);
  start(1);
  roll_to(2);
  exit(1, 1, 5, now);  // an old one
  BOOST_TEST(state().roll.trouble.empty());
  add(3, 0, 1, 1);  // a restart's
  start(3);
  exit(3, 1, 1, never);
  BOOST_TEST(state().roll.trouble.empty());
  BOOST_TEST(state().last_trouble.slot_id == 3u);
  add(4, 1, 2);
  start(4);
  exit(4, 1, 0, now);  // after it had served for a while
  BOOST_TEST(state().roll.trouble == "slot 1: exit 1 (crash)");
  add(5, 2, 2);
  start(5);
  exit(5, 2, 1, now);
  BOOST_TEST(state().roll.trouble == "slot 1: exit 1 (crash); slot 2: exit 2 (crash)");
}

BOOST_FIXTURE_TEST_CASE(a_bake, story) {
  open(2);
  add(1, 0);
  roll_to(2).plan = plan_of(rollout_options().bake(30s).progress_deadline(5min));
  BOOST_TEST((state().roll.progress_by == now + 5min));
  BOOST_TEST(!state().roll.baked);
  now += 1s;
  then(event_kind::program_opened).generation = 2;
  BOOST_TEST((state().roll.progress_by == now + 5min));
  add(2, 0, 2, 1);
  start(2);
  auto bake = [&] {
    then(event_kind::worker_ready, 2);
    then(event_kind::rollout_baking).deadline = now + 30s;
  };
  bake();
  BOOST_TEST(state().roll.bake != 0u);
  BOOST_TEST((state().roll.bake_until == now + 30s));
  BOOST_TEST((state().roll.progress_by == now + 30s + 5min));
  // It bakes anew where the canary is not complete for a while: killed, or its place gone.
  auto& killed = then(event_kind::worker_exited, 2);
  killed.why = exit_cause::killed;
  killed.deadline = now;
  BOOST_TEST(state().roll.bake == 0u);
  start(2);
  bake();
  then(event_kind::rollout_judged).count = 1;
  BOOST_TEST(state().roll.judged);
  then(event_kind::rollout_paused);
  BOOST_TEST(state().roll.paused);
  BOOST_TEST((state().roll.progress_by == never));
  then(event_kind::rollout_resumed);
  BOOST_TEST(!state().roll.paused);
  BOOST_TEST((state().roll.progress_by == now + 5min));
  then(event_kind::slot_retiring, 2).why = exit_cause::scaled_down;
  BOOST_TEST(state().roll.bake == 0u);
  BOOST_TEST(!state().roll.judged);
  then(event_kind::rollout_baked);
  BOOST_TEST(state().roll.baked);

  roll_to(3).plan = plan_of(rollout_options().canary(0));
  BOOST_TEST(state().roll.baked);
  auto& no = then(event_kind::rollout_judged);
  no.text = "too many errors";
  BOOST_TEST(state().roll.trouble == "health check: too many errors");
}

BOOST_AUTO_TEST_CASE(of_a_rollout_its_plan_is_left) {
  for (auto over : {event_kind::rollout_committed, event_kind::rollout_failed}) {
    pool_state p;
    std::uint64_t last = 0;
    auto record = [&](event_kind kind) {
      event e(kind);
      e.id = ++last;
      e.generation = 2;
      if (kind == event_kind::rollout_started) {
        rollout_plan plan;
        plan.batch = 3;
        e.plan = std::make_shared<const rollout_plan>(plan);
      }
      apply(p, e);
    };
    record(event_kind::rollout_started);
    record(event_kind::program_opened);
    BOOST_TEST(p.roll.opened);
    record(over);
    rollout_state left;
    left.plan.batch = 3;
    BOOST_TEST((p.roll == left));
  }
}

BOOST_FIXTURE_TEST_CASE(what_is_kept_and_remembered, story) {
  open(1);
  BOOST_TEST(state().history.size() == 1u);
  auto commit = [&](std::uint64_t generation, unsigned keep) {
    roll_to(generation).plan = plan_of(rollout_options().keep_generations(keep));
    then(event_kind::rollout_committed).generation = generation;
  };
  using numbers = std::deque<std::uint64_t>;
  commit(2, 2);
  commit(3, 2);
  BOOST_TEST((state().kept == numbers{2, 1}));
  commit(4, 2);
  BOOST_TEST((state().kept == numbers{3, 2}));
  commit(2, 2);  // undone
  BOOST_TEST((state().kept == numbers{4, 3}));
  BOOST_TEST(state().last_generation == 4u);
  commit(5, 0);
  BOOST_TEST(state().kept.empty());
  roll_to(6);
  roll_to(7);
  auto& history = state().history;
  BOOST_TEST((history[history.size() - 2].end == rollout_end::superseded));
  BOOST_TEST((history.back().end == rollout_end::running));
  for (std::uint64_t g = 8; g < 40; ++g) commit(g, 1);
  BOOST_TEST(state().history.size() == 20u);
  BOOST_TEST(state().history.back().generation == 39u);
}

BOOST_FIXTURE_TEST_CASE(a_quick_stop_shortens_the_ladders_that_run, story) {
  open(2);
  add(1, 0);
  start(1);
  then(event_kind::worker_stopping, 1).deadline = now + 30s;
  then(event_kind::pool_stopping);
  BOOST_TEST(state().stopping);
  BOOST_TEST((slot(1).deadline == now + 30s));
  now += 2s;
  then(event_kind::pool_stopping).count = 1;
  BOOST_TEST((slot(1).deadline == now + 1s));
  now += 5s;
  then(event_kind::pool_stopping).count = 1;
  BOOST_TEST((slot(1).deadline == now - 4s));  // only the first one counts
}

BOOST_FIXTURE_TEST_CASE(what_is_wanted, story) {
  open(3);
  BOOST_TEST(state().wanted() == 3u);
  then(event_kind::pool_drained);
  BOOST_TEST(state().wanted() == 0u);
  then(event_kind::pool_resumed);
  BOOST_TEST(state().wanted() == 3u);
  then(event_kind::pool_drained);
  then(event_kind::pool_resized).count = 5;
  BOOST_TEST(state().wanted() == 5u);
  then(event_kind::pool_drained);
  then(event_kind::rollout_started).generation = 2;
  BOOST_TEST(state().wanted() == 5u);
  auto command = state().last_command;
  then(event_kind::note);
  BOOST_TEST(state().last_command == command);
}

BOOST_FIXTURE_TEST_CASE(the_word_of_an_unknown_slot_changes_nothing, story) {
  open(1);
  auto before = state();
  then(event_kind::worker_ready, 9);
  then(event_kind::worker_reported, 9);
  BOOST_TEST((state() == before));
}

BOOST_AUTO_TEST_SUITE_END()
