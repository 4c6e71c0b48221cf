// Each promise about groups and needs is broken once, by hand, and the culprit is told.
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>

#include "simulation/group_invariants.hpp"
#include "supervisor/simulation.hpp"
#include "support/stage.hpp"

using namespace supervisor;
using namespace std::chrono_literals;
using test::split;

namespace {

/// What is recorded of one group, word by word: "a+" it is told to start, "a^" it has started, "a-"
/// it is told to stop, "a." it has ended, "a!" it is restarted, "a/" a command stops it, "a\" one
/// starts it; of the group itself "+", "-" and ".".
struct observed {
  void record(event_kind kind, std::string child = {}) {
    event e(kind);
    e.id = ++last;
    e.group = "app";
    e.member = std::move(child);
    watcher.take_in(e);
  }
  void open(strategy s, const std::string& children) {
    event opened(event_kind::group_opened);
    opened.group = "app";
    opened.text = to_string(s);
    watcher.take_in(opened);
    for (auto& text : split(children)) {
      event added(event_kind::member_added);
      added.id = ++last;
      added.group = "app";
      added.member = text.substr(0, 1);
      added.text = "coroutine";
      added.count = static_cast<std::int64_t>(text.ends_with('y') ? restart_type::temporary
                                                                  : restart_type::permanent);
      watcher.take_in(added);
    }
  }
  void play(const std::string& what) {
    for (auto& word : split(what)) {
      bool groups_own = word.size() == 1;
      record(kind_of(word.back(), groups_own), groups_own ? "" : word.substr(0, 1));
    }
  }
  static event_kind kind_of(char sign, bool groups_own) {
    switch (sign) {
      case '+':
        return groups_own ? event_kind::group_started : event_kind::member_starting;
      case '-':
        return groups_own ? event_kind::group_stopping : event_kind::member_stopping;
      case '.':
        return groups_own ? event_kind::group_stopped : event_kind::member_ended;
      case '^':
        return event_kind::member_started;
      case '!':
        return event_kind::group_restarting;
      case '/':
        return event_kind::member_stop_asked;
      case '\\':
        return event_kind::member_start_asked;
      default:
        return event_kind::member_removed;
    }
  }
  void rest() {
    watcher.at_rest([](auto&) { return true; }, [this](auto& name) { return name == busy; });
  }

  std::string broken;
  std::string busy;
  group_invariants watcher{[this](std::string what) {
    if (broken.empty()) broken = std::move(what);
  }};
  std::uint64_t last = 0;
};

struct row {
  strategy restarts;
  const char* children;
  const char* events;
  const char* broken;
};

constexpr auto one = strategy::one_for_one;
constexpr auto all = strategy::one_for_all;
constexpr auto rest = strategy::rest_for_one;
#define ALL_UP "a+ a^ b+ b^ c+ c^ + "

const row table[] = {
    // As it should be.
    {one, "a b c", ALL_UP "b. b! b+ b^ - c- c. b- b. a- a. .", ""},
    {all, "a b c", ALL_UP "b. b! c- c. a- a. a+ a^ b+ b^ c+ c^", ""},
    {rest, "a b c", ALL_UP "b. b! c- c. b+ b^ c+ c^", ""},
    {all, "a b:y c", ALL_UP "a. a! c- c. b- b. b? a+ a^ c+ c^", ""},
    {one, "a b c", ALL_UP "a/ a- a. a\\ a+ a^", ""},

    // The order of starts.
    {one, "a b c", "b+", "app/b: it is started before a, whose turn comes first"},
    {one, "a b c", "a+ b+", "app/b: it is started before a has started"},
    {one, "a b c", "a+ a^ +", "app/b: its group says that it has started, and it has not"},
    {all, "a b c", ALL_UP "b. b! c- c. a- a. b+",
     "app/b: it is started before a, whose turn comes first"},
    {rest, "a b c", ALL_UP "a. a! c- c. a+", "app/a: it is started before b has left"},
    {rest, "a b c", ALL_UP "a. a! c- a+", "app/a: it is started before b has left"},
    {one, "a b c", ALL_UP "b. b! - b+", "app/b: it is started while its group stops"},
    {one, "a b c", ALL_UP "a. a! a+ a^ a+", "app/a: it is started while it runs"},

    // The order of stops.
    {one, "a b c", ALL_UP "- b-", "app/b: it is stopped before c, which stands to its right"},
    {one, "a b c", ALL_UP "- c- b-", "app/b: it is stopped before c has left"},
    {all, "a b c", ALL_UP "b. b! a-", "app/a: it is stopped before c, which stands to its right"},
    {one, "a b c", ALL_UP "- c- c. c-", "app/c: it is stopped, and does not run"},

    // Whom a restart is for.
    {one, "a b c", ALL_UP "b. b! c-",
     "app/c: it is stopped, and no restart, no command and no end says so"},
    {rest, "a b c", ALL_UP "b. b! c- c. a-",
     "app/a: it is stopped, and no restart, no command and no end says so"},
    {one, "a b c", ALL_UP "b. b+", "app/b: it is started, and no restart and no command says so"},
    {all, "a b:y c", ALL_UP "a. a! c- c. b- b. a+ a^ b+",
     "app/b: it is started, and no restart and no command says so"},
    {one, "a b:y", "a+ a^ b+ b^ + b. b!", "app/b: it is temporary, and is restarted"},
    {one, "a b", "a+ a^ b+ b^ + b!", "app/b: it is restarted while it runs"},

    // The end.
    {one, "a b", "a+ a^ b+ b^ + - b- b. .", "app/a: it outlives its group"},
    {one, "a", "a+ a^ + a?", "app/a: it is forgotten while it runs"},
    {one, "a", "b+", "app/b: it is no child of that group"},
};

const row resting[] = {
    {one, "a b", "a+ a^ b+ b^ +", ""},
    {one, "a b", "a+", ""},
    {all, "a b", "a+ a^ b+ b^ + a. a! b-", ""},
    {one, "a b", "a+ a^", "app/b: it is to be started, and is not"},
    {one, "a b", "a+ a^ b+ b^ + a.", "app/a: it has ended by itself, and nothing follows"},
    {all, "a b", "a+ a^ b+ b^ + a. a!", "app/b: it is to leave, and is not told to"},
    {all, "a b", "a+ a^ b+ b^ + b. b!", "app/a: it is to leave, and is not told to"},
    {all, "a b", "a+ a^ b+ b^ + b. b! a- a. a+ a^", "app/b: it is to be started, and is not"},
    {one, "a b", "a+ a^ b+ b^ + a/", "app/a: it is to leave, and is not told to"},
    {one, "a b", "a+ a^ b+ b^ + - b- b.", "app/a: it is to leave, and is not told to"},
};

void check(const row& r, const observed& on) {
  std::string_view expected = r.broken;
  bool as_told = expected.empty() ? on.broken.empty() : on.broken.starts_with(expected);
  BOOST_TEST(as_told, r.events << " tells: " << on.broken);
}

bool tells(const test::world& on, std::string_view words) {
  BOOST_TEST_MESSAGE(on.promises.broken());
  return on.promises.broken() == words;
}

boost::asio::awaitable<void> wait_for_ever(::supervisor::supervisor& self) {
  std::vector<int> numbers{SIGUSR2};
  co_await self.signals().wait(std::move(numbers));
}

/// Something that it spawns, and nobody owns.
boost::asio::awaitable<void> leave_one_behind(::supervisor::supervisor& self) {
  auto mine = co_await boost::asio::this_coro::executor;
  boost::asio::co_spawn(mine, wait_for_ever(self), boost::asio::detached);
}

boost::asio::awaitable<int> forgetful(::supervisor::supervisor& self) {
  group_spec what;
  auto child = child_spec::coroutine("poll", [&self] { return leave_one_behind(self); });
  what.child(child.transient());
  auto app = self.group("app", std::move(what));
  co_await self.sleep_for(1s);
  auto ended = co_await app.stop();
  co_return ended.ok ? 0 : 1;
}

/// "app", which needs that of "web", is started where it may be, and else told of where it is
/// started all the same.
void look_at_launch(const script& first, const script& second, need what, bool met) {
  test::world on;
  on.host.on_launch = [&](auto& request) {
    if (request.key.pool == "app") return script();
    return request.slot == 0 ? first : second;
  };
  spec web("serve");
  web.restart.transient();
  on.web(2, std::move(web));
  on.host.run_for(5s);
  on.sup->pool("app", spec("serve").after("web", what), 1);
  on.host.run_for(1s);
  BOOST_TEST(on.promises.broken() == "");
  BOOST_TEST((on.state("app").slots.front().pid != 0) == met);
  if (met) return;
  event launched(event_kind::worker_launched);
  launched.pool = "app";
  launched.slot_id = 1;
  on.log.record(std::move(launched));
  BOOST_TEST(tells(on, "app.0: it is started without web: " + std::string(to_string(what))));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(promises_of_groups)

BOOST_AUTO_TEST_CASE(whoever_breaks_one_is_named) {
  for (auto& r : table) {
    observed on;
    on.open(r.restarts, r.children);
    on.play(r.events);
    check(r, on);
  }
}

BOOST_AUTO_TEST_CASE(nothing_is_left_undone_when_the_clock_moves) {
  for (auto& r : resting) {
    observed on;
    on.open(r.restarts, r.children);
    on.play(r.events);
    on.rest();
    check(r, on);
  }
}

BOOST_AUTO_TEST_CASE(a_coroutine_ends_with_its_child) {
  observed on;
  on.open(one, "a");
  on.play("a+ a^ + - a- a. .");
  on.busy = "child b";
  on.rest();
  BOOST_TEST(on.broken == "");
  on.busy = "child a";
  on.rest();
  BOOST_TEST(on.broken == "app/a: its coroutine runs on, and it has ended");
}

BOOST_AUTO_TEST_CASE(a_group_is_stopped_at_the_end) {
  observed on;
  on.open(one, "a");
  on.play("a+ a^ +");
  on.watcher.at_end([](auto&) { return true; });
  BOOST_TEST(on.broken == "app: it is not stopped");
}

BOOST_AUTO_TEST_CASE(a_worker_waits_for_its_childs_turn) {
  observed on;
  on.open(one, "a b");
  on.play("a+");
  event launched(event_kind::worker_launched);
  launched.pool = "a";
  on.watcher.take_in(launched);
  BOOST_TEST(on.broken == "");
  launched.pool = "b";
  on.watcher.take_in(launched);
  BOOST_TEST(on.broken == "app/b: it has a worker before its turn has come");
}

BOOST_AUTO_TEST_CASE(what_is_in_a_child_ends_before_it) {
  test::stage on(child_spec::kind::coroutine);
  group_spec inner, outer;
  on.add(inner, "b:p");
  outer.child(child_spec::group("sub", std::move(inner)));
  on.open(std::move(outer));
  BOOST_TEST(on.promises.broken() == "");
  event ended(event_kind::member_ended);
  ended.group = "app";
  ended.member = "sub";
  on.log.record(std::move(ended));
  BOOST_TEST(tells(on, "app/sub: it has ended, and what is in it has not"));
}

BOOST_AUTO_TEST_CASE(a_users_run_is_looked_at_too) {
  ::supervisor::simulation sim;
  sim.start(forgetful);
  BOOST_CHECK_EXCEPTION(sim.run(), simulation_failure, [](auto& failure) {
    return std::string_view(failure.what())
        .starts_with("app/poll: its coroutine runs on, and it has ended\n");
  });
}

// Of two workers of "web", as far as each state has them, and which needs that meets.
BOOST_AUTO_TEST_CASE(nobody_is_started_without_what_it_needs) {
  struct standing {
    const char* meets;
    script first, second;
  };
  script launching, starting, finished;
  launching.launch_takes = 1h;
  starting.ready_after = 1h;
  finished.exits_after = 1s;
  const standing table[] = {{"", launching, launching},      {"started", starting, launching},
                            {"started ready", {}, starting}, {"started ready healthy", {}, {}},
                            {"started ready", finished, {}}, {"completed", finished, finished}};
  for (auto& web : table)
    for (auto what : {need::started, need::ready, need::healthy, need::completed}) {
      auto word = std::string(to_string(what));
      BOOST_TEST_CONTEXT(word << " of one that meets: " << web.meets) {
        auto meets = split(web.meets);
        look_at_launch(web.first, web.second, what, std::ranges::count(meets, word) > 0);
      }
    }
}

BOOST_AUTO_TEST_SUITE_END()
