// The composition root: from main() to a policy on the real host.
#include "supervisor/run.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <stdexcept>

#include "control/server.hpp"
#include "keeper/start.hpp"
#include "keeper_client.hpp"
#include "kernel/child_statuses.hpp"
#include "kernel/control_socket.hpp"
#include "kernel/descent.hpp"
#include "kernel/descriptors.hpp"
#include "kernel/find_program.hpp"
#include "kernel/lock_file.hpp"
#include "kernel/standard_descriptors.hpp"
#include "log_writer.hpp"
#include "process/kernel_host.hpp"
#include "process/mold.hpp"
#include "process/saved_host.hpp"
#include "process/saved_memory.hpp"
#include "service_reporter.hpp"
#include "start_failure.hpp"
#include "supervision/live.hpp"
#include "supervision/saved.hpp"
#include "supervisor/errc.hpp"
#include "supervisor/prefork.hpp"
#include "supervisor/version.hpp"
#include "upgrade_words.hpp"
#include "worker/boot.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

/// How long the end waits for what was killed.
constexpr auto last_wait = std::chrono::seconds(10);

/// How long a master that another is to follow goes on for what has come to it already, and for
/// workers that are just being made.
constexpr auto handing_over = std::chrono::seconds(1);

/// "the master with pid 4711, which ended by SIGKILL"
std::string describe(const keeper_wire::record& master) {
  return fmt::format("the master with pid {}, which ended: {}", master.pid,
                     status_of(master.end).str());
}

/// Throws std::runtime_error where this program could not go on from that.
void check_state(kernel::unique_fd state) {
  auto parts = read_saved(saved_memory(std::move(state)));
  read_supervisor(parts.supervisor);
}

std::pair<pid_t, uid_t> identify(control_server::socket& client) {
  auto peer = kernel::peer_of(client.native_handle());
  return {peer.pid, peer.uid};
}

/// Everything of a master, in the order in which it is made; taken down in reverse.
class master {
 public:
  master(int argc, char** argv, run_options options, bool functions);
  int run(const policy& decide);

 private:
  void begin(bool functions);
  void find_keeper();
  void take_control();
  void take_pidfile();
  [[noreturn]] void end_with_keeper();
  void leave();
  void finish_what_came();
  void tell_of_upgrade();
  void make_host(bool functions);
  void log_what_another_has_not();
  void serve_control();
  asio::awaitable<void> run_policy(policy decide);
  int tell(std::string_view what, const std::exception_ptr& failure);

  const run_options options_;
  const std::vector<std::string> arguments_;
  asio::io_context context_{1};
  std::optional<keeper_client> keeper_;  ///< none: this is the main process itself
  log_writer log_;
  journal journal_;
  std::vector<std::shared_ptr<void>> subscriptions_;
  std::vector<control_server::socket> last_words_;  ///< to clients that wait until all is gone
  std::optional<kernel::control_socket> control_;
  std::optional<kernel::lock_file> pidfile_;
  std::unique_ptr<host> host_;
  std::optional<::supervisor::supervisor> self_;
  std::optional<control_server> server_;
  std::optional<reply> end_of_upgrade_;  ///< for clients of the master before this one
  service_reporter reporter_;
  std::shared_ptr<saved_memory> saved_;  ///< by the master before this one
  bool started_ = false;                 ///< a pool was opened
  bool leaving_ = false;                 ///< another goes on from here
  int code_ = exit_code::failed;
};

master::master(int argc, char** argv, run_options options, bool functions)
    : options_(std::move(options)),
      arguments_(argv, argv + argc),
      log_(context_, options_.log,
           [this](std::uint64_t event) {
             if (host_) host_->note_logged(event);
           }),
      journal_([] {
        return std::pair<time_point, wall_time>(std::chrono::steady_clock::now(),
                                                std::chrono::system_clock::now());
      }),
      reporter_(context_) {
  subscriptions_.push_back(journal_.subscribe([this](const event& e) {
    started_ = started_ || e.kind == event_kind::pool_opened;
    log_.write(e);
    reporter_.see(e);
  }));
  find_keeper();
  try {
    begin(functions);
  } catch (...) {
    if (!started_) throw;
    // Another will go on from the same: nothing is to be undone on the way out.
    auto why = explain(std::current_exception());
    fmt::print(stderr, "{}: {}\n", options_.name, why.what());
    std::fflush(nullptr);
    ::_exit(why.code);
  }
}

void master::begin(bool functions) {
  take_control();
  take_pidfile();
  make_host(functions);
  log_what_another_has_not();
  self_.emplace(*host_, journal_, options_.name);
  serve_control();
  reporter_.begin(*host_, *self_);
}

void master::find_keeper() {
  auto above = take_keeper_link();
  if (!above) return;
  kernel::raise_descriptor_limit();  // what another has left may be more than the soft one allows
  keeper_.emplace(std::move(*above), check_state);
  keeper_->watch(context_.get_executor(),
                 {[this] { end_with_keeper(); }, [this] { leave(); },
                  [this] { asio::post(context_, [this] { tell_of_upgrade(); }); },
                  [this](auto& how) { self_->note(words_of_renewal(how)); }});
  auto memory = keeper_->take(keeper_wire::state);
  if (memory) saved_ = std::make_shared<saved_memory>(std::move(memory));
  started_ = saved_ != nullptr;
}

/// Nobody would know of us any more: everything goes, whatever it does.
void master::end_with_keeper() {
  self_->note(fmt::format("the keeper, pid {}, is gone: ending everything", main_pid()));
  log_.release();
  host_->end_strangers();
  kernel::end_descendants(last_wait);
  host_->remove_listener_files();
  control_.reset();
  pidfile_.reset();
  ::_exit(exit_code::failed);
}

void master::leave() {
  leaving_ = true;
  context_.stop();
}

/// Nothing that was asked of this master is lost: it is begun, and so it is in what the next one
/// goes on from.
void master::finish_what_came() {
  auto deadline = std::chrono::steady_clock::now() + handing_over;
  if (server_) server_->leave();
  context_.restart();
  auto in_time = [&] { return std::chrono::steady_clock::now() < deadline; };
  do
    while (in_time() && context_.poll_one() > 0) {
    }
  while (!host_->at_rest() && context_.run_one_until(deadline) > 0);
  context_.stop();
}

/// By the first master after it that has everything.
void master::tell_of_upgrade() {
  auto& last = keeper_->upgraded();
  bool is_news = last && last->pid;
  if (is_news) journal_.record(event_of_upgrade(*last));
  end_of_upgrade_ =
      answer_of_upgrade(is_news ? words_of_upgrade(*last) : "the master ended meanwhile");
  if (server_) server_->look_at_upgrade();
}

void master::take_control() {
  if (options_.control.empty()) return;
  if (saved_) {
    control_.emplace(options_.control, keeper_->take(keeper_wire::control_lock),
                     keeper_->take(keeper_wire::control));
    return;
  }
  try {
    control_.emplace(options_.control, main_pid());
    if (keeper_) keeper_->hold_at(keeper_wire::control_lock, control_->lock());
    if (keeper_) keeper_->hold_at(keeper_wire::control, control_->fd());
  } catch (const kernel::already_locked& other) {
    bool by_name = options_.control == default_control_path(options_.name);
    auto option = by_name ? "--name" : "--control";
    auto& value = by_name ? options_.name : options_.control;
    throw start_failure(exit_code::conflict,
                        fmt::format("another master (pid {}) is running with {} {}; stop that one "
                                    "(prefork stop {} {}), or choose another with {}",
                                    other.holder(), option, value, option, value, option));
  } catch (const boost::system::system_error& error) {
    throw start_failure(code_of(error),
                        fmt::format("control socket: {}; set XDG_RUNTIME_DIR or choose a path "
                                    "with --control",
                                    words_of(error)));
  }
}

void master::take_pidfile() {
  if (options_.pidfile.empty()) return;
  if (saved_) {
    pidfile_.emplace(options_.pidfile, keeper_->take(keeper_wire::pidfile_lock));
    return;
  }
  try {
    pidfile_.emplace(options_.pidfile, main_pid());
    if (keeper_) keeper_->hold_at(keeper_wire::pidfile_lock, pidfile_->fd());
  } catch (const kernel::already_locked& other) {
    throw start_failure(exit_code::conflict,
                        fmt::format("pidfile {} is of pid {}, which runs; stop that one, or choose "
                                    "another path with --pidfile",
                                    options_.pidfile, other.holder()));
  } catch (const boost::system::system_error& error) {
    throw start_failure(code_of(error),
                        fmt::format("pidfile: {}; choose a path with --pidfile", words_of(error)));
  }
}

void master::make_host(bool functions) {
  kernel_host_options how;
  how.name = options_.name;
  if (functions)
    how.program = kernel::path_of_this_program(arguments_.empty() ? "" : arguments_.front());
  how.arguments = arguments_;
  how.reaps_orphans = keeper_.has_value();
  // Without a keeper, or where that is wanted, whatever happens to us happens to them.
  if (keeper_ && !options_.die_with_master) {
    how.store = &*keeper_;
    how.saved = std::move(saved_);
    how.before_save = [this] { started_ ? log_.release() : log_.flush(); };
    if (auto& before = keeper_->predecessor()) how.predecessor = before->pid;
    how.end_with_thread = false;
  }
  how.on_line = [this](const child_key& key, unsigned slot, bool is_stderr, std::string_view line) {
    log_.write_output(key.pool, slot, is_stderr, line);
  };
  how.inherited = kernel::take_listeners(main_pid());
  how.on_listener = [this](auto& name, unsigned place, int socket) {
    reporter_.keep(name, place, socket);
  };
  host_ = make_kernel_host(context_.get_executor(), journal_, std::move(how));
}

/// What it has recorded, and could not write any more.
void master::log_what_another_has_not() {
  auto parts = host_->saved();
  // Behind the whole, before which all was written.
  for (std::size_t i = 1; i < parts.size(); ++i) {
    auto step = read_step(parts[i]);
    if (step.what.id > host_->last_logged()) log_.write(step.what);
  }
}

void master::serve_control() {
  if (!control_) return;
  asio::local::stream_protocol::acceptor acceptor(context_, asio::local::stream_protocol(),
                                                  control_->release());
  control_server::options about;
  about.version = SUPERVISOR_VERSION;
  about.pid = ::getpid();
  about.main_pid = main_pid();
  about.owner = ::geteuid();
  about.identify = identify;
  about.verbs = options_.verbs;
  about.strangers_reaped_above = [this] {
    return keeper_ ? keeper_->strangers_reaped() : std::uint64_t{0};
  };
  if (keeper_ && !options_.die_with_master) {
    about.sockets.hold = [this](int socket) { return keeper_->hold(socket); };
    about.sockets.drop = [this](std::uint32_t where) { keeper_->drop(where); };
    about.sockets.take = [this](std::uint32_t where) { return keeper_->take(where).release(); };
  }
  about.upgraded = [this]() -> std::optional<upgrade_status> {
    if (!keeper_ || !keeper_->upgraded()) return std::nullopt;
    return status_of_upgrade(*keeper_->upgraded());
  };
  about.end_of_upgrade = [this] { return end_of_upgrade_; };
  server_.emplace(*host_, *self_, std::move(acceptor), std::move(about));
}

/// Returns the exit code.
int master::tell(std::string_view what, const std::exception_ptr& failure) {
  auto why = explain(failure);
  if (!started_) {
    log_.drop();
    fmt::print(stderr, "{}: {}\n", options_.name, why.what());
  }
  if (started_ || !options_.log.file.empty()) self_->note(fmt::format("{}: {}", what, why.what()));
  return started_ ? exit_code::failed : why.code;
}

asio::awaitable<void> master::run_policy(policy decide) {
  auto told = [this](std::string_view what, const std::exception_ptr& e) { return tell(what, e); };
  code_ = co_await live(*self_, std::move(decide), std::move(told));
  if (server_) last_words_ = co_await server_->finish(code_);
  if (!keeper_) co_return;
  for (auto& client : last_words_) keeper_->hold(client.native_handle());
  keeper_->over();
}

int master::run(const policy& decide) {
  event started(event_kind::supervisor_started);
  started.text = fmt::format("{} (libsupervisor {})", options_.name, SUPERVISOR_VERSION);
  if (keeper_ && keeper_->predecessor())
    started.text += ", in place of " + describe(*keeper_->predecessor());
  journal_.record(std::move(started));

  std::exception_ptr failure;
  bool broken = false, over = false;
  auto done = [this, &failure, &over](std::exception_ptr error) {
    failure = std::move(error);
    over = true;
    context_.stop();
  };
  asio::co_spawn(context_, run_policy(decide), std::move(done));
  // Twice: a policy that never waits is over one turn after its first step.
  asio::post(context_, [this] { asio::post(context_, [this] { log_.release(); }); });
  while (!context_.stopped()) {
    try {
      context_.run();
      if (leaving_ && !over) finish_what_came();
    } catch (const std::exception& error) {
      // Nobody's coroutine: what is running is left in order, by the ladder.
      self_->note(fmt::format("stopping, because a handler failed: {}", error.what()));
      self_->request_stop();
      broken = true;
    }
  }
  log_.release();  // of a policy that never waited
  // Nothing is to be undone on the way out: files and workers are the next one's.
  if (leaving_ && !over) ::_exit(exit_code::ok);
  if (failure) std::rethrow_exception(failure);
  return broken ? exit_code::failed : code_;
}

}  // namespace

std::string default_control_path(std::string_view name) {
  const char* directory = std::getenv("XDG_RUNTIME_DIR");
  bool given = directory && *directory == '/';
  return fmt::format("{}/prefork/{}.sock", given ? directory : "/run", name);
}

std::vector<listener_spec> inherited_listeners() {
  auto passed = kernel::passed_listeners(main_pid());
  for (auto& each : passed) each.descriptor = -1;
  return passed;
}

std::optional<int> mold_role(int argc, char** argv, std::span<const worker_function> functions) {
  auto socket = take_mold_socket();
  if (!socket) return std::nullopt;
  return run_mold(argc, argv, std::move(socket), functions, run_worker);
}

std::optional<int> keeper_role(int argc, char** argv) { return become_keeper(argc, argv); }

pid_t main_pid() noexcept { return pid_of_keeper() ? pid_of_keeper() : ::getpid(); }

int run(int argc, char** argv, const policy& decide, std::vector<worker_function> functions,
        run_options options) {
  auto as_mold = mold_role(argc, argv, functions);
  if (as_mold) return *as_mold;

  if (options.name.empty())
    options.name = argc > 0 ? std::filesystem::path(argv[0]).filename().string() : "supervisor";
  auto name = options.name;
  kernel::fill_standard_descriptors();
  std::signal(SIGPIPE, SIG_IGN);  // a reader that left is an error code, not the end of us
  if (kernel::child_statuses_are_lost()) std::signal(SIGCHLD, SIG_DFL);  // ignored by inheritance
  try {
    master self(argc, argv, std::move(options), !functions.empty());
    return self.run(decide);
  } catch (...) {
    auto why = explain(std::current_exception());
    fmt::print(stderr, "{}: {}\n", name, why.what());
    return why.code;
  }
}

int main(int argc, char** argv, worker_function serve, prefork_options options, run_options how) {
  auto as_mold = mold_role(argc, argv, {&serve, 1});
  if (as_mold) return *as_mold;
  auto as_keeper = keeper_role(argc, argv);
  if (as_keeper) return *as_keeper;

  if (options.listeners.empty())
    options.listeners.push_back(listener_spec::parse("127.0.0.1:8080"));
  auto decide = [name = serve.name, options = std::move(options)](supervisor& self) {
    return prefork(self, name, spec(name), options);
  };
  std::vector<worker_function> functions;
  functions.push_back(std::move(serve));
  return run(argc, argv, decide, std::move(functions), std::move(how));
}

}  // namespace supervisor
