// What a supervisor knows, as bytes: nothing is lost on the way, and another version can read it.
#include "supervision/saved.hpp"

#include <sys/resource.h>

#include <boost/test/unit_test.hpp>
#include <map>

#include "host/archive.hpp"
#include "process/saved_host.hpp"
#include "process/saved_memory.hpp"

using namespace supervisor;
using namespace std::chrono_literals;

namespace {

template <typename Number>
Number count(std::uint64_t& n) {
  return static_cast<Number>(++n);
}

/// Each member of another value, none of them its default.
slot_state a_slot(std::uint64_t n) {
  slot_state s;
  s.id = ++n, s.number = count<unsigned>(n), s.generation = ++n, s.replaces = ++n;
  s.retiring = exit_cause::recycled, s.now = phase::stopping;
  s.deadline = time_point(duration(++n)), s.launches = ++n, s.child = ++n, s.pid = count<pid_t>(n);
  s.started_at = time_point(duration(++n)), s.ready_at = time_point(duration(++n));
  s.reloading = true, s.reloads = count<unsigned>(n), s.status = "serving \n 12",
  s.stopped_for = exit_cause::hang, s.step = count<unsigned>(n);
  s.lot = count<unsigned>(n), s.spent = ++n, s.at_once = count<unsigned>(n), s.ill = true;
  s.failures = count<unsigned>(n), s.last_delay = duration(++n);
  s.window = {time_point(duration(++n)), time_point(duration(-1))}, s.half_open = true;
  s.escalates = true, s.restarts = ++n, s.last_cause = exit_cause::crash;
  s.last_exit = exit_status::signalled(SIGSEGV, true), s.last_failure = "exec x: no";
  s.last_exit_at = wall_time(duration(++n)), s.last_event = ++n;
  return s;
}

pool_state a_pool() {
  pool_state p;
  std::uint64_t n = 100;
  p.version = 7, p.name = "web", p.target = count<unsigned>(n), p.drained = true;
  p.stopping = true, p.quick = true, p.stopped = true, p.escalated = true, p.held = "db: ready";
  p.generation = ++n, p.committed = ++n, p.rolling = true, p.last_generation = ++n;
  p.roll.plan.canary = 3, p.roll.plan.bake = 30s, p.roll.plan.ask_every = 2s;
  p.roll.plan.batch = 4, p.roll.plan.max_unavailable = 5, p.roll.plan.progress_deadline = 6s;
  p.roll.plan.keep_generations = 7, p.roll.opened = true, p.roll.bake = ++n;
  p.roll.bake_until = time_point(duration(++n)), p.roll.judged = p.roll.baked = true;
  p.roll.paused = true, p.roll.progress_by = time_point(duration(++n));
  p.roll.trouble = "web.1: exit 70", p.roll.trouble_event = ++n;
  p.kept = {3, 2}, p.last_trouble = {++n, "why"}, p.last_slot_id = ++n;
  rollout_record r;
  r.id = ++n, r.generation = ++n, r.what = "command ./x", r.began = wall_time(duration(++n));
  r.ended = wall_time(duration(++n)), r.end = rollout_end::aborted, r.why = "said so";
  p.history = {r, rollout_record()};
  p.budget.repaid = time_point(duration(++n)), p.last_command = ++n;
  p.departures.push_back({++n, ++n, static_cast<unsigned>(++n), ++n, ++n});
  p.slots = {a_slot(1000), slot_state(), a_slot(2000)};
  p.slots.back().deadline = never;
  p.slots.back().last_exit = exit_status::exited(0);
  return p;
}

spec a_spec() {
  auto s = spec::command("./server", {"--fd", "{fd:http}"}).env("A", "1").env("B", "").after("db");
  s.directory = "/srv", s.umask = mode_t{027}, s.user = "www", s.group = "web";
  s.limits = {{"nofile", 10, RLIM_INFINITY}}, s.no_new_privileges = true;
  s.out.where = output::to::file, s.out.path = "/log", s.err.where = output::to::null;
  s.listeners = std::vector<std::string>();  // which is not the same as none said
  s.ready = readiness::probe, s.alive_for = 7s, s.boot_timeout = 8s;
  s.stop = {{SIGINT, 1s}, {SIGQUIT, 2s}}, s.hang_timeout = 9s, s.request_timeout = 10s;
  s.restart.transient().decorrelated(1s, 9s).half_open(3, 60s, 5s).healthy(4s);
  s.restart.jitter = 0.125;
  s.restart.on(causes::exit_codes(64, 78) | causes::signal(SIGSEGV) | causes::of(exit_cause::hang),
               restart_policy().give_up(2, 3s).on(causes::any(), restart_policy().temporary()));
  s.starts.burst = 3, s.starts.per_second = 0.5;
  s.recycle.max_requests = 5, s.recycle.max_age = 6s, s.recycle.max_memory = 7;
  s.recycle.jitter = 0, s.recycle.sampling = 8s, s.recycle.samples = 9, s.recycle.at_once = 10;
  s.fd_store_max = 11;
  s.ready_probe = probe::http("127.0.0.1:{9100+slot}", "/h").every(2s).within(3s).ill_after(4);
  s.liveness = {probe::heartbeat().after(5s).well_after(6), probe::exec("check", {"a", "b"})};
  return s;
}

group_state a_group() {
  group_state g;
  std::uint64_t n = 5000;
  g.version = 2, g.name = "tree", g.restarts = strategy::rest_for_one;
  g.most_restarts = count<unsigned>(n), g.period = 5s, g.shutdown = auto_shutdown::all_significant;
  g.starts = start_rate(), g.budget.repaid = time_point(duration(++n));
  g.now = group_phase::stopping, g.window = {time_point(duration(++n))};
  g.last = ending::abnormal, g.by = group_end::significant, g.why = "b", g.failed_child = "c";
  g.failure = "d", g.last_event = ++n;
  member_state m;
  m.name = "a", m.type = restart_type::temporary, m.significant = true, m.kind = "pool";
  m.now = member_phase::up, m.wanted = false, m.recycled = m.troubled = m.failed_start = true;
  m.asked = m.added = m.leaving = true, m.deadline = time_point(duration(++n)), m.due = ++n;
  m.starts = ++n, m.last = ending::abnormal, m.how = "exit 1", m.last_event = ++n;
  m.ended_at = time_point(duration(++n));
  g.members = {m, member_state()};
  return g;
}

saved_supervisor an_example() {
  saved_supervisor all;
  all.last_event = 1'000'000'000'000;
  all.stopping = all.quick = true;
  all.beside = std::string("a\0b", 3);
  all.pools.push_back({a_pool(), {}});
  all.pools.back().specs.emplace(1, std::make_shared<spec>("serve"));
  all.pools.back().specs.emplace(9, std::make_shared<spec>(a_spec()));
  all.pools.push_back({pool_state(), {}});
  all.groups = {a_group(), group_state()};
  return all;
}

/// A struct of a program of tomorrow, and the same of today.
struct newer {
  int first = 1;
  std::vector<std::string> between{"x", ""};
  std::string last = "z";
};
struct older {
  int first = 0;
  std::string last;
  int never_written = 42;
};
template <typename Archive>
void fields(Archive& a, newer& n) {
  a(1, n.first)(2, n.between)(5, n.last);
}
template <typename Archive>
void fields(Archive& a, older& o) {
  a(1, o.first)(3, o.never_written)(5, o.last);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(saved)

BOOST_AUTO_TEST_CASE(everything_comes_back_as_it_was) {
  auto all = an_example();
  auto back = read_supervisor(write(all));
  BOOST_TEST(back.last_event == all.last_event);
  BOOST_TEST(back.stopping);
  BOOST_TEST(back.quick);
  BOOST_TEST(back.beside == all.beside);
  BOOST_TEST((back.groups == all.groups));
  BOOST_REQUIRE(back.pools.size() == all.pools.size());
  for (std::size_t i = 0; i < all.pools.size(); ++i) {
    BOOST_TEST((back.pools[i].state == all.pools[i].state));
    BOOST_REQUIRE(back.pools[i].specs.size() == all.pools[i].specs.size());
    for (auto& [generation, what] : all.pools[i].specs)
      BOOST_TEST((*back.pools[i].specs.at(generation) == *what));
  }
}

BOOST_AUTO_TEST_CASE(writing_leaves_what_is_written_as_it_is) {
  auto all = an_example();
  write(all);
  BOOST_TEST((all.pools[0].state == a_pool()));
  BOOST_TEST((*all.pools[0].specs.at(9) == a_spec()));
}

BOOST_AUTO_TEST_CASE(an_older_program_passes_over_what_it_does_not_know) {
  older then;
  archive::read(archive::write(newer()), then);
  BOOST_TEST(then.first == 1);
  BOOST_TEST(then.last == "z");
  BOOST_TEST(then.never_written == 42);
}

BOOST_AUTO_TEST_CASE(a_newer_program_keeps_its_defaults_for_what_is_not_there) {
  newer now;
  archive::read(archive::write(older{5, "y", 6}), now);
  BOOST_TEST(now.first == 5);
  BOOST_TEST(now.last == "y");
  BOOST_TEST(now.between.size() == 2u);
}

BOOST_AUTO_TEST_CASE(what_is_cut_short_is_refused_and_never_read_beyond) {
  auto bytes = write(an_example());
  unsigned refused = 0;
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    // A copy of its own, so that a sanitizer sees a read behind its end.
    std::string part(bytes.data(), size);
    part.shrink_to_fit();
    try {
      read_supervisor(part);
    } catch (const std::runtime_error&) {
      ++refused;
    }
  }
  BOOST_TEST(refused > bytes.size() * 9 / 10);
}

BOOST_AUTO_TEST_CASE(the_state_of_a_newer_version_is_refused_in_words) {
  saved_host all;
  all.supervisor = write(an_example());
  auto read = [&] { return read_saved(saved_memory(archive::write(all))); };
  BOOST_TEST((read_supervisor(read().supervisor).pools[0].state == a_pool()));
  BOOST_TEST(saved_version <= newest_readable_version);
  all.version = newest_readable_version;
  BOOST_TEST(read().host.version == newest_readable_version);
  ++all.version;
  BOOST_CHECK_EXCEPTION(read(), std::runtime_error, [](auto& error) {
    return std::string(error.what()).find("newer version") != std::string::npos;
  });
}

BOOST_AUTO_TEST_CASE(of_what_a_slot_has_stored_the_last_change_counts) {
  saved_host all;
  all.supervisor = write(an_example());
  all.shelves = {{"web", 0, 1, {{"a", true, 20}}}, {"web", 1, 2, {{"b", true, 21}}}};
  saved_memory memory(archive::write(all));
  auto then = [&](saved_shelf shelf) {
    saved_change change;
    change.shelf = std::move(shelf);
    BOOST_REQUIRE(memory.add(archive::write(change)));
  };
  then({"web", 0, 3, {{"a", true, 20}, {"c", false, 22}}});
  then({"web", 1, 2, {}});
  then({"api", 0, 1, {{"d", true, 23}}});
  auto now = read_saved(memory).host.shelves;
  BOOST_REQUIRE(now.size() == 2u);
  BOOST_TEST(now[0].pool == "web");
  BOOST_TEST(now[0].slot_id == 3u);
  BOOST_REQUIRE(now[0].descriptors.size() == 2u);
  BOOST_TEST(now[0].descriptors[0].name == "a");
  BOOST_TEST(now[0].descriptors[0].polled);
  BOOST_TEST(now[0].descriptors[1].name == "c");
  BOOST_TEST(!now[0].descriptors[1].polled);
  BOOST_TEST(now[0].descriptors[1].where == 22u);
  BOOST_TEST(now[1].pool == "api");
}

BOOST_AUTO_TEST_CASE(any_bytes_at_all_are_read_or_refused) {
  auto bytes = write(an_example());
  for (std::size_t at = 0; at < bytes.size(); ++at)
    for (char other : {'\0', '\xff', '\x7f'}) {
      auto changed = bytes;
      changed[at] = other;
      try {
        read_supervisor(changed);
      } catch (const std::runtime_error&) {
      }
    }
  BOOST_TEST((read_supervisor(bytes).pools[0].state == a_pool()));
}

BOOST_AUTO_TEST_SUITE_END()
