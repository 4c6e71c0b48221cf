// A policy in virtual time: no process, no waiting, and one seed is one run. Target
// supervisor::simulation; see doc/simulation.md.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "supervisor/exit_report.hpp"
#include "supervisor/journal.hpp"
#include "supervisor/probe.hpp"
#include "supervisor/scoreboard.hpp"
#include "supervisor/supervisor.hpp"
#include "supervisor/time.hpp"

namespace supervisor {

/// How one simulated process behaves. Times count from its start, when it gets its pid, unless said
/// otherwise. As it is made, it is ready at once, lives until it is told to stop, and then leaves
/// at once with exit 0.
struct process_script {
  process_script() = default;

  std::optional<launch_error> launch_fails;  ///< it never runs: launch_error{"clone", EAGAIN, ""}
  duration launch_takes{};  ///< before its start; told to stop meanwhile, it is never made
  std::optional<duration> ready_after = duration{};  ///< until READY=1; empty: that is lost
  bool tells_twice = false;  ///< whatever it tells, it tells again, and wakes the supervisor twice
  std::string status;        ///< STATUS=, told along with READY=1
  /// Names of descriptors that it has stored then (FDSTORE=1), in place of those there were.
  std::vector<std::string> stores;

  std::optional<duration> reloads_after;  ///< then it says RELOADING=1
  duration reload_takes{};                ///< from then until READY=1; zero: they come together

  std::optional<duration> exits_after;             ///< by itself; empty: it lives
  exit_status exit_with = exit_status::exited(0);  ///< how it ends then
  bool out_of_memory = false;                      ///< that exit is the kernel's doing
  std::optional<duration> hangs_after;             ///< then it answers nothing any more
  std::optional<duration> spent_after;             ///< then it asks for a fresh one in its place
  std::optional<duration> overdue_after;           ///< then one of its requests lasts too long

  /// From a stop signal (TERM, INT, QUIT), which it answers with STOPPING=1, to exit 0.
  duration drain_takes{};
  /// With STOPPING=1 it asks for so much time (EXTEND_TIMEOUT_USEC); zero: it asks for none.
  duration asks_for{};
  bool ignores_stop = false;  ///< only KILL and the signals that dump core end it
  duration reap_takes{};      ///< from its death to its report: what it left keeps a pipe open
  /// A debugger holds it: each signal but KILL waits for so long, and so does the news of its
  /// death, which wakes the supervisor before there is anything to see.
  duration traced{};
  bool forks = false;  ///< has a child of its own, in its process group, which never leaves

  std::optional<scoreboard> work;     ///< what it shows of itself, where no request is simulated:
  duration request_every{};           ///< once ready it begins a request so often; zero: none
  duration service_time{};            ///< how long each lasts; a drain waits for the last
  std::int64_t memory_kib = 0;        ///< resident at its start
  std::int64_t leaks_kib = 0;         ///< more in each second
  std::int64_t memory_limit_kib = 0;  ///< there the kernel ends it for memory; 0: nowhere
};

/// How one generation of a pool's program is opened: where workers are functions, its mold.
struct program_script {
  program_script() = default;
  duration opens_after{};             ///< until workers can be made of it
  std::optional<launch_error> fails;  ///< none can be
};

/// How one look of a probe is answered.
struct probe_answer {
  probe_answer() = default;
  /// At once.
  probe_answer(bool well, std::string words) : result(well, std::move(words)) {}
  std::optional<duration> takes = duration{};  ///< empty: there is no answer
  probe_result result{true, "well"};           ///< what it says
};

/// A process that is about to be made.
struct simulated_launch {
  std::string pool;              ///< whose worker it is
  unsigned slot = 0;             ///< its number
  std::uint64_t generation = 0;  ///< of its program, from 1
  std::uint64_t start = 0;       ///< how many its slot has had, this one included
};

/// A process that lives.
struct simulated_process {
  pid_t pid = 0;                 ///< never used again
  std::string pool;              ///< whose worker it is
  unsigned slot = 0;             ///< its number
  std::uint64_t generation = 0;  ///< of its program
  bool ready = false;            ///< it has said so
  bool stopping = false;         ///< it has said so
};

/// The run cannot go on: a promise of the library's is broken, or the policy waits for what cannot
/// come. Its words end with what the journal has last.
struct simulation_failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A world without an operating system, and one supervisor in it. Time stands still while anything
/// is ready to run, and then jumps to the next deadline; so a simulated day costs what happens in
/// it. Nothing happens but in run(), run_for(), run_until() and settle(), on the caller's thread;
/// they throw simulation_failure, and what a callback of the test's throws.
///
///     supervisor::simulation sim;
///     sim.start(my_policy);
///     sim.run_for(1s);
///     BOOST_TEST(sim.pool("web").ready == 2u);
class simulation {
 public:
  /// One seed is one run: jitter, the order of what falls due together, and random() come from it.
  explicit simulation(std::uint64_t seed = 1);
  /// The supervisor is gone as if it were killed.
  ~simulation();
  simulation(const simulation&) = delete;

  // What the world does.

  /// Asked for each process; without it each is a process_script{}.
  std::function<process_script(const simulated_launch&)> on_launch;
  /// Asked for each generation of each pool; without it each is a program_script{}.
  std::function<program_script(std::string_view pool, std::uint64_t generation)> on_open;
  /// Asked for each look of a probe, of either kind, with the worker it is at; one at no worker has
  /// neither pid nor pool. Without it all are well, at once.
  std::function<probe_answer(const simulated_process&, const probe&)> on_probe;
  /// Asked by what scales commands: the CPU time that a process has used since its start. Without
  /// it none is told, and all are idle.
  std::function<duration(const simulated_process&)> on_cpu_time;

  /// Begins to run a policy as supervisor::run does: INT, QUIT and TERM that it neither handles nor
  /// waits for cancel it, and what it leaves is stopped by the ladder. `name` is the supervisor's.
  void start(policy decide, std::string name = "simulated");
  /// The supervisor's process is killed between two steps, and started anew: it goes on with the
  /// pools as they were written down and the children that live, and the policy begins again.
  void restart_supervisor();

  /// To the supervisor, from pid 77; `value` as sigqueue(3) has it.
  void send(int signal, int value = 0);
  /// The same, with all that a signal carries.
  void send(signal_event);
  /// To a child, from outside. False where none of that pid lives.
  bool kill(pid_t, int signal = SIGKILL);
  /// From now on so many connections wait to be accepted, whatever the listener.
  void queue(unsigned connections);
  /// Nothing runs for so long: something else had the processor. What fell due meanwhile is late.
  void stall(duration);
  /// The machine is suspended for so long: the wall clock goes on, and the clock that deadlines are
  /// of stands still.
  void suspend(duration);
  /// Somebody sets the wall clock, ahead or back. No deadline moves.
  void turn_wall_clock(duration ahead);

  // What the test does.

  /// Runs until the policy has ended and all it made is gone; returns the exit code. A failure
  /// where it does not end within `limit`, or nothing can happen any more.
  int run(duration limit = std::chrono::hours(24));
  /// Runs for so long; the clock stands at its end afterwards.
  void run_for(duration);
  /// Runs until `done`, which is asked after each step; false where `limit` has passed, or nothing
  /// can happen any more.
  bool run_until(const std::function<bool()>& done, duration limit = std::chrono::hours(1));
  /// Runs what is ready; the clock stays.
  void settle();
  /// Calls `work` once, between two steps, when so many have been run; what it throws comes out of
  /// run() and the like. To stop the world anywhere.
  void after_step(std::uint64_t steps, std::function<void()> work);

  // What the test sees.

  /// A supervisor lives.
  bool running() const;
  /// Once the policy has ended and all it made is gone.
  std::optional<int> exit_code() const;
  /// As it is now. Throws std::out_of_range where there is none of that name.
  pool_status pool(std::string_view name) const;
  /// All that are not stopped.
  std::vector<pool_status> pools() const;
  /// All that live, in the order in which they were made.
  std::vector<simulated_process> processes() const;
  /// How many processes were asked for, until now.
  std::uint64_t launches() const;
  /// All that was recorded, until now.
  const std::deque<event>& events() const;
  /// How many of one kind.
  std::size_t count(event_kind) const;
  /// The same as text: a line an event, with the time since the beginning, its number, and the
  /// number of its cause. One seed gives the same bytes on every machine.
  std::string journal_text() const;

  time_point now() const;       ///< by the clock that deadlines are of
  wall_time wall_now() const;   ///< it is 2026 at first
  duration elapsed() const;     ///< since the beginning
  std::uint64_t steps() const;  ///< how many pieces of work were run
  std::uint64_t random();       ///< from the seed: for what the test decides by chance

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

/// What explore() does to a policy, beside letting it run.
struct exploration {
  exploration() = default;
  std::uint64_t seeds = 1000;                    ///< how many runs
  std::uint64_t first = 1;                       ///< the first one's seed
  unsigned events = 50;                          ///< disturbances in each
  duration apart = std::chrono::seconds(4);      ///< no two of them are further
  std::vector<int> signals;                      ///< what the policy may be sent meanwhile
  bool restarts_supervisor = true;               ///< that may be killed too
  duration patience = std::chrono::minutes(30);  ///< to come to rest when all that is over
  /// Called when it has had that time, before it is told to stop; throws where something is not as
  /// it should be.
  std::function<void(simulation&)> then;
};

/// A run that failed, as short as it could be made.
struct failed_run {
  std::string what;        ///< broke
  std::string schedule;    ///< what was done, a line each
  std::string journal;     ///< all that was recorded
  std::string replay;      ///< a command that does it again
  std::uint64_t seed = 0;  ///< of the run
};
/// All of it, for people; nothing where none failed.
std::string describe(const std::optional<failed_run>&);

/// Runs a scenario over many seeds and disturbs it by chance: processes are killed, cannot be made,
/// die at boot, are never ready, hang, will not leave; signals come, time is lost, the wall clock
/// jumps, the supervisor is killed and started anew. Each run ends with TERM, and the policy has to
/// leave nothing behind. `begin` starts the policy and may set on_launch and on_open.
///
/// The first run that fails is made shorter, as long as it fails, and returned; empty: none did.
/// With SUPERVISOR_SEED in the environment, as failed_run::replay has it, that run alone is done.
///
///     auto failed = supervisor::explore([](auto& sim) { sim.start(my_policy); });
///     BOOST_TEST(!failed, describe(failed));
std::optional<failed_run> explore(const std::function<void(simulation&)>& begin,
                                  const exploration& = {});

/// Runs a scenario - what a test does with a simulation - once for each step that it has, and sends
/// TERM after that step instead of going on. The policy has to end within `bound`, and to leave
/// nothing behind. Empty: it always did.
std::optional<failed_run> stop_at_every_step(const std::function<void(simulation&)>& scenario,
                                             duration bound);
/// The same, but kills the supervisor after that step, starts it anew, and lets the scenario go on.
std::optional<failed_run> restart_at_every_step(const std::function<void(simulation&)>& scenario,
                                                duration bound);

}  // namespace supervisor
