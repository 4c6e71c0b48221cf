#include "process/child.hpp"

#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "kernel/channel.hpp"
#include "kernel/descriptors.hpp"
#include "kernel/scoreboard.hpp"

namespace supervisor {

namespace word = kernel::word;

namespace {

/// How long the last output is waited for: a grandchild in a session of its own may hold the pipe.
constexpr auto output_deadline = std::chrono::seconds(1);

boost::system::error_code no_such_process() { return {ESRCH, boost::system::system_category()}; }

bool asks_to_leave(int number) {
  return number == SIGTERM || number == SIGKILL || number == SIGINT || number == SIGQUIT;
}

}  // namespace

child::child(process_services& services, kernel::memory_events& memory, stored_descriptors& stored,
             std::shared_ptr<const spec> what, on_over over)
    : services_(services),
      memory_(memory),
      stored_(stored),
      what_(std::move(what)),
      on_over_(std::move(over)) {}

void child::become(child_id id, const launch_request& request, host::observer changed) {
  request_ = request;
  changed_ = std::move(changed);
  view_.id = id;
  view_.key = request_.key;
  if (what_) expect_signs();
}

void child::start_command(const listener_list& listeners, const kernel::credentials& who,
                          const kernel::pinned_program* program) {
  try {
    auto [out, err] = open_outputs();
    auto [socket, address] = kernel::make_notify_socket();
    auto null = kernel::open_null();
    auto or_inherited = [](const stdio& io, int own) { return io.theirs ? io.theirs.get() : own; };
    command_surroundings around;
    around.program = program;
    around.who = who;
    around.listeners = listeners;
    if (most_stored()) around.stored = stored_.of(view_.key.pool, request_.slot);
    around.notify_socket = address;
    around.slot = request_.slot;
    around.in = null.get();
    around.out = or_inherited(out, STDOUT_FILENO);
    around.err = or_inherited(err, STDERR_FILENO);
    around.descriptors = services_.descriptors;
    kernel::ends ready;
    if (what_->ready == readiness::newline) ready = kernel::make_output_pipe();
    around.ready = ready.theirs.get();
    auto plan = plan_command(*what_, around);
    plan.end_with_thread = services_.options.end_with_thread;
    auto user = plan.who.user;
    // Everything that needs a descriptor or memory is there before the child is.
    notify_.emplace(services_.executor, std::move(socket), user,
                    [this](auto& said) { on_notification(said); });
    read(out_, std::move(out.ours), false);
    read(err_, std::move(err.ours), true);
    if (ready.ours)
      ready_ = watched_fd(services_.executor, std::move(ready.ours), [this] { read_ready(); });
    auto [process, failed] = ::supervisor::launch(services_.executor, std::move(plan));
    view_.failed = std::move(failed);
    if (out_) theirs_[1] = std::move(out.theirs);
    if (err_) theirs_[2] = std::move(err.theirs);
    begin(std::move(process));
  } catch (const launch_failure& failure) {
    fail(failure.error);
  } catch (const boost::system::system_error& e) {
    fail({"clone", e.code().value(), what_->program});
  }
}

void child::start_function(std::shared_ptr<mold_program> mold,
                           std::vector<std::pair<std::size_t, int>> own_listeners) {
  mold_ = std::move(mold);
  try {
    if (!notify_) prepare();
    give_stored();
    cells_ = mold_->cells();
    cell_ = cells_->take();
    if (!cell_) return fail({"mold", ENOSPC, "too many workers of one program"});
    cells_->at(*cell_).request_limit = request_.request_limit;
    mold_order order;
    order.slot = request_.slot;
    order.channel = theirs_[0].get();
    order.out = theirs_[1].get();
    order.err = theirs_[2].get();
    order.cell = *cell_;
    order.own = std::move(own_listeners);
    mold_->launch(view_.id, order, [self = weak_from_this()](made_worker made, auto error) {
      if (auto alive = self.lock()) alive->on_order(std::move(made), std::move(error));
    });
  } catch (const launch_failure& failure) {
    fail(failure.error);
  } catch (const boost::system::system_error& e) {
    fail({"mold", e.code().value(), what_->function});
  }
}

/// It finds them on its channel: they are sent before there is anybody to read.
void child::give_stored() {
  if (most_stored() == 0) return;
  std::string names;
  std::vector<int> files;
  for (auto& [name, file] : stored_.of(view_.key.pool, request_.slot)) {
    names += (names.empty() ? "" : ":") + name;
    files.push_back(file);
  }
  if (files.empty() || notify_->send(std::string(word::stored) + names, files)) return;
  throw launch_failure{{"store", errno, names}};
}

void child::prepare() {
  auto [out, err] = open_outputs();
  auto channel = kernel::make_channel();
  notify_.emplace(services_.executor, std::move(channel.ours),
                  [this](auto& said) { on_notification(said); });
  read(out_, std::move(out.ours), false);
  read(err_, std::move(err.ours), true);
  theirs_[0] = std::move(channel.theirs);
  theirs_[1] = std::move(out.theirs);
  theirs_[2] = std::move(err.theirs);
}

bool child::can_wait_prepared(const spec& what) noexcept {
  return what.out.where != output::to::file && what.err.where != output::to::file;
}

child::outputs child::open_outputs() { return {open_stdio(what_->out), open_stdio(what_->err)}; }

void child::read(std::optional<line_reader>& reader, kernel::unique_fd pipe, bool is_stderr) {
  if (!pipe) return;
  reader.emplace(
      services_.executor, std::move(pipe),
      [this, is_stderr](std::string_view line, bool partial) {
        last_output_.append(line, partial);
        on_line(line);
        if (services_.options.on_line)
          services_.options.on_line(view_.key, request_.slot, is_stderr, line);
      },
      [this] { on_output_ended(); });
  if (!services_.keep) return;
  reader->on_rest([this] { note(); });
  reader->keep(services_.output_in_hand, is_stderr ? held_.err : held_.out);
}

void child::on_order(made_worker made, std::optional<launch_error> error) {
  if (!out_) theirs_[1].reset();
  if (!err_) theirs_[2].reset();
  if (error) {
    // The worker of a mold that died may exist all the same, and count: its cell is not given
    // again.
    if (error->stage == "mold" && cell_) mold_->expect_stray(*std::exchange(cell_, {}));
    return fail(std::move(*error));
  }
  try {
    auto& [pid, pidfd] = made;
    if (!pidfd) {
      for (auto& fd : theirs_) fd.reset();  // there was no room
      pidfd = kernel::open_pidfd(pid);
    }
    if (mold_->forks_for_another())
      held_.process = services_.options.store->hold_process(pidfd.get(), pid);
    begin(held_process(services_.executor, pid, std::move(pidfd)));
  } catch (const boost::system::system_error& e) {
    mold_->expect_stray(*std::exchange(cell_, {}));
    fail({"pidfd", e.code().value(), what_->function});
  }
}

void child::spare_descriptors() noexcept {
  if (!process_) return;  // they are wanted for its launch
  for (auto& fd : theirs_) fd.reset();
}

void child::begin(held_process process) {
  started_ = steady_now();
  if (!view_.failed) view_.pid = process.pid();
  hold(std::move(process));
  if (services_.few_descriptors) spare_descriptors();
  note();
  if (!early_.empty()) on_notification(early_);
  tell_later();
}

void child::hold(held_process process) {
  auto self = weak_from_this();
  reaper::observer observer;
  observer.died = [self](exit_status status) {
    if (auto alive = self.lock()) alive->on_died(status);
  };
  observer.reaped = [self](const kernel::obituary& last) {
    if (auto alive = self.lock()) alive->on_reaped(last);
  };
  observer.cleared = [self] {
    if (auto alive = self.lock()) alive->collect();
  };
  auto& all = services_.children;
  process_ = held_.process
                 ? all.hold_of_another(std::move(process), held_.process, std::move(observer))
                 : all.hold(std::move(process), std::move(observer));
}

void child::fail(launch_error error) {
  notify_.reset();
  ready_.reset();
  out_.reset();
  err_.reset();
  for (auto& fd : theirs_) fd.reset();
  give_cell_back();
  view_.failed = std::move(error);
  boost::asio::post(services_.executor, [self = weak_from_this()] {
    auto alive = self.lock();
    if (!alive) return;
    alive->tell();
    alive->report({});
  });
}

void child::give_cell_back() {
  if (cell_) cells_->give_back(*std::exchange(cell_, {}));
}

void child::tell() {
  if (auto changed = changed_) changed();  // a copy: the call may replace it
}

void child::tell_later() {
  boost::asio::post(services_.executor, [self = weak_from_this()] {
    if (auto alive = self.lock()) alive->tell();
  });
}

boost::system::error_code child::signal(int number) {
  if (view_.over()) return no_such_process();
  if (!process_) {
    if (asks_to_leave(number) && mold_ && mold_->withdraw(view_.id))
      fail({"mold", ECANCELED, "told to leave before it was made"});
    return no_such_process();
  }
  if (number == SIGKILL) killed_by_us_ = true;
  if (asks_to_leave(number)) view_.asks_until = {};  // what it asked for was to boot
  return services_.children.signal(process_, number);
}

void child::poke() noexcept {
  // Posted: the replacement of the worker that left is ordered first, and a worker that wakes might
  // keep the CPU from us meanwhile.
  boost::asio::post(services_.executor, [self = weak_from_this()] {
    auto alive = self.lock();
    if (alive && alive->mold_ && alive->notify_ && alive->view_.ready && !alive->view_.over())
      alive->notify_->send(word::poke);
  });
}

void child::tell_terms(const leave_terms& terms) noexcept {
  if (!mold_ || !notify_ || view_.over()) return;
  char text[64];
  auto left = std::max(duration{}, terms.by - steady_now());
  auto micros = terms.by == never ? 0 : 1 + left / std::chrono::microseconds(1);
  auto size = std::snprintf(text, sizeof text, "%s%lld,%d", word::leave.data(),
                            static_cast<long long>(micros), terms.others_stay);
  notify_->send({text, static_cast<std::size_t>(size)});
}

/// What it is given must not come to stand where it says that it is ready.
std::size_t child::most_stored() const noexcept {
  return what_->ready == readiness::newline ? 0 : what_->fd_store_max;
}

/// What is left of the group of one that is dead has nothing to store: its slot may be another's.
void child::store(notification& said) {
  if (view_.over()) return;
  event about(event_kind::worker_stored);
  about.pool = view_.key.pool;
  about.slot_id = view_.key.slot_id;
  about.slot = request_.slot;
  about.generation = request_.generation;
  about.child = view_.id;
  about.pid = view_.pid;
  stored_.obey(std::move(about), said, most_stored());
}

void child::on_notification(notification& said) {
  if (said.stores || said.unstores) store(said);
  if (!process_) return early_.merge(said);
  if (said.busy) begin_sampling();
  if (said.alive) asked_ = never;
  if (said.heartbeat) give({});
  bool news = (said.ready && !view_.ready) || (said.stopping && !view_.stopping) ||
              (said.recycle && !view_.spent) || (said.status && *said.status != view_.status) ||
              said.extend || said.reloads || (view_.reloading && said.ready);
  view_.ready |= said.ready;
  view_.reloads += said.reloads;
  view_.reloading = said.reloading.value_or(view_.reloading);
  view_.stopping |= said.stopping;
  view_.spent |= said.recycle;
  if (said.status) view_.status = *said.status;
  if (said.extend) view_.asks_until = steady_now() + *said.extend;
  if (!news) return;
  note();
  if (!view_.failed) tell();
}

/// False: nothing more is there now.
bool child::read_ready() {
  char text[4096];
  auto size = ready_ ? ::read(ready_.get(), text, sizeof text) : -1;
  const bool come = size > 0 && std::memchr(text, '\n', static_cast<std::size_t>(size));
  if (come || size == 0) ready_.reset();
  if (!come) return size > 0;
  notification said;
  said.add(word::ready);
  on_notification(said);
  return false;
}

std::optional<scoreboard> child::sample() const {
  if (last_seen_ || !cell_ || !process_) return last_seen_;
  return kernel::read(cells_->at(*cell_), steady_now());
}

void child::on_died(exit_status status) {
  died_at_ = steady_now();
  last_seen_ = sample();
  if (cell_) cells_->at(*cell_).share = kernel::activity::none;
  if (notify_) notify_->drain();  // what it said last comes before its end
  while (read_ready()) continue;
  ready_.reset();
  if (sampling_) services_.timers.cancel(std::exchange(sampling_, 0));
  if (!view_.failed) {
    view_.out_of_memory =
        status.signal() == SIGKILL && !killed_by_us_ && memory_.kill_counted(died_at_);
    view_.exited = status;
    tell();
  }
}

/// Its replacement is under way, and its group is gone: what is left of it.
void child::collect() {
  notify_.reset();
  for (auto& fd : theirs_) fd.reset();
  for (auto* reader : {&out_, &err_})
    if (*reader && !(*reader)->ended()) (*reader)->read();
  if (output_ended()) return services_.children.bury(process_);
  collecting_ = services_.timers.call_at(died_at_ + output_deadline, [self = weak_from_this()] {
    auto alive = self.lock();
    if (!alive) return;
    alive->collecting_ = 0;
    for (auto* reader : {&alive->out_, &alive->err_})
      if (*reader) (*reader)->cut_off();
    alive->services_.children.bury(alive->process_);
  });
}

bool child::output_ended() const noexcept {
  return (!out_ || out_->ended()) && (!err_ || err_->ended());
}

void child::on_output_ended() {
  if (!collecting_ || !output_ended()) return;
  services_.timers.cancel(std::exchange(collecting_, 0));
  services_.children.bury(process_);
}

void child::on_reaped(const kernel::obituary& last) {
  process_ = 0;
  let_go();
  give_cell_back();
  report(last);
}

void child::report(const kernel::obituary& last) {
  auto seconds = [](const timeval& time) {
    return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
  };
  auto made = std::make_shared<exit_report>();
  made->pid = view_.pid ? view_.pid : -1;
  made->launch = view_.failed;
  if (view_.exited) {
    made->status = *view_.exited;
    made->uptime = died_at_ - started_;
  }
  made->user_time = seconds(last.usage.ru_utime);
  made->system_time = seconds(last.usage.ru_stime);
  made->max_rss_kib = last.usage.ru_maxrss;
  made->last_output = last_output_.take();
  if (last_seen_) {
    auto& board = *last_seen_;
    made->last_work = describe_work(board, view_.overdue ? board.oldest : board.latest);
    made->failure = board.failure;
  }
  out_.reset();
  err_.reset();
  view_.reported = true;
  on_over_(*this, std::move(made));
}

}  // namespace supervisor
