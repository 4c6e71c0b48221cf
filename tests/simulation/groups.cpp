// Groups, by the cases of OTP's supervisor_SUITE. Each row runs with its children as processes and
// as coroutines: what becomes of them is the same.
#include "supervisor/group.hpp"

#include "support/stage.hpp"

using namespace supervisor;
using namespace std::chrono_literals;
using test::kinds;
using test::split;
using test::stage;
using test::words;

namespace {

struct row {
  const char* name;  ///< of the case in OTP's suite, and what of it
  strategy restarts;
  const char* children;
  const char* actions;  ///< after all have started
  const char* trace;    ///< from then on
  const char* running;  ///< at the end; "ended": the group has, "failed": by its own doing
  auto_shutdown shutdown = auto_shutdown::never;
  unsigned intensity = 3;
};

constexpr auto one = strategy::one_for_one;
constexpr auto all = strategy::one_for_all;
constexpr auto rest = strategy::rest_for_one;
constexpr auto any_significant = auto_shutdown::any_significant;
constexpr auto all_significant = auto_shutdown::all_significant;

const row table[] = {
    // Each restart type, each way to end, each strategy.
    {"permanent_normal", one, "a:p b:p c:p", "b normal", "+b", "a b c"},
    {"permanent_shutdown", one, "a:p b:p c:p", "b shutdown", "+b", "a b c"},
    {"permanent_abnormal", one, "a:p b:p c:p", "b abnormal", "+b", "a b c"},
    {"transient_normal", one, "a:p b:t c:p", "b normal", "", "a c"},
    {"transient_shutdown", one, "a:p b:t c:p", "b shutdown", "", "a c"},
    {"transient_abnormal", one, "a:p b:t c:p", "b abnormal", "+b", "a b c"},
    {"temporary_normal", one, "a:p b:y c:p", "b normal", "", "a c"},
    {"temporary_shutdown", one, "a:p b:y c:p", "b shutdown", "", "a c"},
    {"temporary_abnormal", one, "a:p b:y c:p", "b abnormal", "", "a c"},
    {"permanent_normal for all", all, "a:p b:p c:p", "b normal", "-c -a +a +b +c", "a b c"},
    {"permanent_shutdown for all", all, "a:p b:p c:p", "b shutdown", "-c -a +a +b +c", "a b c"},
    {"permanent_abnormal for all", all, "a:p b:p c:p", "b abnormal", "-c -a +a +b +c", "a b c"},
    {"transient_normal for all", all, "a:p b:t c:p", "b normal", "", "a c"},
    {"transient_shutdown for all", all, "a:p b:t c:p", "b shutdown", "", "a c"},
    {"transient_abnormal for all", all, "a:p b:t c:p", "b abnormal", "-c -a +a +b +c", "a b c"},
    {"temporary_normal for all", all, "a:p b:y c:p", "b normal", "", "a c"},
    {"temporary_shutdown for all", all, "a:p b:y c:p", "b shutdown", "", "a c"},
    {"temporary_abnormal for all", all, "a:p b:y c:p", "b abnormal", "", "a c"},
    {"permanent_normal for the rest", rest, "a:p b:p c:p", "b normal", "-c +b +c", "a b c"},
    {"permanent_shutdown for the rest", rest, "a:p b:p c:p", "b shutdown", "-c +b +c", "a b c"},
    {"permanent_abnormal for the rest", rest, "a:p b:p c:p", "b abnormal", "-c +b +c", "a b c"},
    {"transient_normal for the rest", rest, "a:p b:t c:p", "b normal", "", "a c"},
    {"transient_shutdown for the rest", rest, "a:p b:t c:p", "b shutdown", "", "a c"},
    {"transient_abnormal for the rest", rest, "a:p b:t c:p", "b abnormal", "-c +b +c", "a b c"},
    {"temporary_normal for the rest", rest, "a:p b:y c:p", "b normal", "", "a c"},
    {"temporary_shutdown for the rest", rest, "a:p b:y c:p", "b shutdown", "", "a c"},
    {"temporary_abnormal for the rest", rest, "a:p b:y c:p", "b abnormal", "", "a c"},

    // Siblings.
    {"temporary_bystander for all", all, "a:p b:y c:p", "a abnormal", "-c -b +a +c", "a c"},
    {"temporary_bystander for the rest", rest, "a:p b:y c:p", "a abnormal", "-c -b +a +c", "a c"},
    {"temporary_bystander for one", one, "a:p b:y c:p", "a abnormal", "+a", "a b c"},
    {"one_for_one first and last", one, "a:p b:p c:p", "a abnormal;c abnormal", "+a +c", "a b c"},
    {"one_for_all first", all, "a:p b:p c:p", "a abnormal", "-c -b +a +b +c", "a b c"},
    {"one_for_all last", all, "a:p b:p c:p", "c abnormal", "-b -a +a +b +c", "a b c"},
    {"rest_for_one first", rest, "a:p b:p c:p", "a abnormal", "-c -b +a +b +c", "a b c"},
    {"rest_for_one last", rest, "a:p b:p c:p", "c abnormal", "+c", "a b c"},
    {"one_for_all starts again what had ended", all, "a:p b:t c:p", "b normal;c abnormal",
     "-a +a +b +c", "a b c"},
    {"one_for_all leaves what comes back alone", all, "a:p b:p", "a abnormal;b abnormal",
     "-b +a +b -a +a +b", "a b"},
    {"one_for_one alone", one, "a:p", "a abnormal;a abnormal;a normal", "+a +a +a", "a"},

    // Escalation.
    {"one_for_one_escalation", one, "a:p b:p", "a abnormal", "! -b .", "failed", {}, 0},
    {"one_for_all_escalation", all, "a:p b:p", "a abnormal", "! -b .", "failed", {}, 0},
    {"rest_for_one_escalation", rest, "a:p b:p c:p", "b abnormal", "! -c -a .", "failed", {}, 0},
    {"escalation with the next",
     one,
     "a:p b:p",
     "a normal;b shutdown;a abnormal",
     "+a +b ! -b .",
     "failed",
     {},
     2},
    {"escalation counts what lies within the period",
     one,
     "a:p",
     "a abnormal;a abnormal;wait 61;a abnormal",
     "+a +a +a",
     "a",
     {},
     2},
    {"escalation counts all of the period",
     one,
     "a:p",
     "a abnormal;a abnormal;wait 59;a abnormal",
     "+a +a ! .",
     "failed",
     {},
     2},
    {"temporary ends count for no intensity",
     one,
     "a:y b:t c:p",
     "a abnormal;b normal;wait 1",
     "",
     "c",
     {},
     0},

    // A child that does not come back.
    {"one_for_one_other_child_fails_restart", one, "a:p b:p c:p", "failing a 2;a abnormal",
     "+a +a +a", "a b c"},
    {"one_for_all_other_child_fails_restart", all, "a:p b:p c:p", "failing c 1;b abnormal",
     "-c -a +a +b +c -b -a +a +b +c", "a b c"},
    {"rest_for_one_other_child_fails_restart", rest, "a:p b:p c:p", "failing c 1;b abnormal",
     "-c +b +c +c", "a b c"},
    {"hanging_restart_loop", one, "a:p b:p", "failing b 99;b abnormal", "+b +b +b ! -a .",
     "failed"},
    {"hanging_restart_loop for all", all, "a:p b:p", "failing b 99;b abnormal",
     "-a +a +b -a +a +b -a +a +b ! -a .", "failed"},
    {"hanging_restart_loop_rest_for_one", rest, "a:p b:p c:p", "failing b 99;b abnormal",
     "-c +b +b +b ! -a .", "failed"},
    {"transient that fails to come back is tried again", one, "a:t", "failing a 2;a abnormal",
     "+a +a +a", "a"},
    {"one_for_one others go on meanwhile",
     one,
     "a:p b:p",
     "failing a 2;a abnormal;b abnormal",
     "+a +a +a +b",
     "a b",
     {},
     9},

    // Shutting itself down.
    {"significant_temporary normal", one, "a:p b:y!", "b normal", "! -a .", "ended",
     any_significant},
    {"significant_temporary abnormal", one, "a:p b:y!", "b abnormal", "! -a .", "ended",
     any_significant},
    {"significant_transient normal", one, "a:p b:t!", "b normal", "! -a .", "ended",
     any_significant},
    {"significant_transient shutdown", one, "a:p b:t!", "b shutdown", "! -a .", "ended",
     any_significant},
    {"significant_transient abnormal", one, "a:p b:t!", "b abnormal", "+b", "a b", any_significant},
    {"significant any, the first of two", one, "a:t! b:t! c:p", "b normal", "! -c -a .", "ended",
     any_significant},
    {"significant any, another one", one, "a:t b:t! c:p", "a normal", "", "b c", any_significant},
    {"significant all, the first of two", one, "a:t! b:t! c:p", "b normal", "", "a c",
     all_significant},
    {"significant all, both", one, "a:t! b:t! c:p", "b normal;a normal", "! -c .", "ended",
     all_significant},
    {"significant all, one comes back", one, "a:t! b:t!", "b abnormal;a normal", "+b", "b",
     all_significant},
    {"significant all, temporary", one, "a:y! b:t! c:p", "a abnormal;b shutdown", "! -c .", "ended",
     all_significant},
    {"significant_bystander for all", all, "a:p b:y! c:p", "a abnormal", "-c -b +a +c", "a c",
     any_significant},
    {"significant_bystander for the rest", rest, "a:p b:t! c:p", "a abnormal", "-c -b +a +b +c",
     "a b c", any_significant},
    {"significant stopped by a command", one, "a:p b:t!", "stop b", "-b", "a", any_significant},
    {"significant, the last that is left", one, "a:t! b:t! c:p", "stop a;b normal", "-a ! -c .",
     "ended", all_significant},
    {"significant_escalation", one, "a:p b:t!", "b abnormal", "! -a .", "failed", any_significant,
     0},

    // Commands.
    {"sup_stop", one, "a:p b:p c:p", "stop", "! -c -b -a .", "ended"},
    {"child_adm terminate", one, "a:p b:p", "stop a", "-a", "b"},
    {"child_adm terminate a temporary one", one, "a:y b:p", "stop a;refused restart a", "-a", "b"},
    {"child_adm restart", one, "a:p b:p", "stop a;restart a", "-a +a", "a b"},
    {"child_adm restart what runs", one, "a:p b:p", "refused restart a", "", "a b"},
    {"child_adm restart what ended", one, "a:t b:p", "a normal;restart a", "+a", "a b"},
    {"child_adm restart that fails", one, "a:p b:p",
     "stop a;failing a 1;refused restart a;restart a", "-a +a +a", "a b"},
    {"child_adm delete", one, "a:p b:p", "stop a;delete a;refused restart a", "-a", "b"},
    {"child_adm delete what runs", one, "a:p b:p", "refused delete a", "", "a b"},
    {"child_adm start", one, "a:p", "start b:p;b abnormal", "+b +b", "a b"},
    {"child_adm start what is there", one, "a:p", "refused start a:p", "", "a"},
    {"child_adm start that fails", one, "a:p", "failing b 1;refused start b:p;start b:p", "+b +b",
     "a b"},
    {"child_adm start a temporary one anew", one, "a:p", "start b:y;b abnormal;start b:y", "+b +b",
     "a b"},
    {"child_adm of nobody", one, "a:p", "refused stop x;refused restart x;refused delete x", "",
     "a"},
    {"terminated children come back with their siblings", all, "a:p b:p", "stop a;b abnormal",
     "-a +a +b", "a b"},
    {"terminated children stay where one comes back alone", one, "a:p b:p", "stop a;b abnormal",
     "-a +b", "b"},
    {"commands to a group that stops", one, "a:p", "stop;refused start b:p;refused stop a",
     "! -a .", "ended"},
};

outcome command(stage& on, ::supervisor::group& app, const words& w) {
  if (w[0] == "start") return on.run(app.start_child(on.child(w[1])));
  if (w[0] == "restart") return on.run(app.restart_child(w[1]));
  if (w[0] == "delete") return app.delete_child(w[1]);
  return w.size() == 1 ? on.run(app.stop()) : on.run(app.stop_child(w[1]));
}

void perform(stage& on, ::supervisor::group& app, const std::string& action) {
  auto w = split(action);
  if (w[0] == "wait") return on.host.run_for(std::chrono::seconds(std::stoi(w[1])));
  if (w[0] == "failing") return on.fail_next(w[1], std::stoi(w[2]));
  if (w[0] == "refused") {
    auto refused = command(on, app, words(w.begin() + 1, w.end()));
    BOOST_TEST(!refused.ok, action);
    BOOST_TEST(!refused.reason.empty());
    return;
  }
  if (w.size() == 2 && w[1] == "normal") return on.end(w[0], ending::normal);
  if (w.size() == 2 && w[1] == "shutdown") return on.end(w[0], ending::shutdown);
  if (w.size() == 2 && w[1] == "abnormal") return on.end(w[0], ending::abnormal);
  BOOST_TEST(command(on, app, w).ok, action);
}

std::string running(const ::supervisor::group& app) {
  std::string names;
  for (auto& child : app.status().children)
    if (child.state == "running") names += (names.empty() ? "" : " ") + child.name;
  return names;
}

void play(const row& r, child_spec::kind kind) {
  stage on(kind);
  auto what = group_spec(r.restarts).intensity(r.intensity, 60s).ends(r.shutdown);
  auto app = on.open(on.add(what, r.children));
  BOOST_TEST(app.status().state == "running");
  on.take_trace();
  for (auto& action : split(r.actions, ';')) {
    perform(on, app, action);
    // Each answer is there at once, or after the millisecond in which a process fails to start.
    on.host.run_for(20ms);
  }
  BOOST_TEST(on.take_trace() == r.trace);

  std::string expected = r.running;
  bool over = expected == "ended" || expected == "failed";
  BOOST_TEST(app.status().state == (over ? "stopped" : "running"));
  BOOST_TEST(running(app) == (over ? "" : expected));
  if (over) BOOST_TEST(on.run(app.ended()).ok == (expected == "ended"));
  // What the rows say of children is so of processes.
  if (kind == child_spec::kind::process)
    BOOST_TEST(on.host.living().size() == split(running(app)).size());
  on.run_void(on.sup->stop_all());
  BOOST_TEST(on.promises.broken() == "");
  BOOST_TEST(app.status().state == "stopped");
  BOOST_TEST(on.host.living().empty());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(groups)

BOOST_AUTO_TEST_CASE(otp) {
  BOOST_TEST(std::size(table) >= 60u);
  for (auto kind : kinds)
    for (auto& r : table) BOOST_TEST_CONTEXT(to_string(kind) << ": " << r.name) play(r, kind);
}

BOOST_AUTO_TEST_SUITE_END()
