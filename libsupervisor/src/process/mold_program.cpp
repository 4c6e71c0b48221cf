#include "process/mold_program.hpp"

#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <csignal>

#include "kernel/descriptors.hpp"
#include "kernel/title.hpp"
#include "process/command.hpp"

namespace supervisor {

mold_program::mold_program(process_services& services, std::string pool, std::uint64_t generation,
                           std::shared_ptr<const spec> what, listener_list listeners,
                           relay_list relays, host::observer changed, std::function<void()> at_rest)
    : services_(services),
      pool_(std::move(pool)),
      generation_(generation),
      what_(std::move(what)),
      listeners_(std::move(listeners)),
      relays_(std::move(relays)),
      changed_(std::move(changed)),
      at_rest_(std::move(at_rest)) {}

void mold_program::open() {
  auto& path = services_.options.program;
  try {
    program_ = kernel::pin_program(path);
    cells_ = std::make_shared<activity_cells>();
    start();
  } catch (const boost::system::system_error& e) {
    boost::asio::post(services_.executor, [self = weak_from_this(), error = e.code().value()] {
      if (auto alive = self.lock()) alive->fail({"mold", error, alive->services_.options.program});
    });
  }
}

void mold_program::start() {
  auto socket = kernel::make_channel();
  auto plan = plan_mold(program_.get(), services_.options.arguments, socket.theirs.get(),
                        services_.descriptors, services_.options.end_with_thread);
  auto [process, failed] = ::supervisor::launch(services_.executor, std::move(plan));
  socket.theirs.reset();
  died_.reset();
  hung_ = false;
  refused_ = std::move(failed);
  ready_ = another_ = false;
  pid_ = process.pid();
  // Kept alive by the process, which may outlive the last owner after close(): to bury it.
  process_ = services_.children.hold(
      std::move(process),
      {[owner = shared_from_this()](exit_status status) { owner->on_died(status); }, [](auto&) {}});
  client_ =
      std::make_unique<mold_client>(services_.executor, std::move(socket.ours), client_observer());
  event started(event_kind::mold_started);
  started.pool = pool_;
  started.generation = generation_;
  started.pid = pid_;
  services_.log.record(std::move(started));
  services_.save_anew();
  expect_answer();
  client_->setup({pool_, generation_, what_, listeners_, relays_, cells_->memory(),
                  activity_cells::count, services_.options.name});
}

mold_client::observer mold_program::client_observer() {
  auto self = weak_from_this();
  auto call = [self](auto member) {
    return [self, member](auto&&... arguments) {
      if (auto alive = self.lock()) (alive.get()->*member)(arguments...);
    };
  };
  auto refuse = [self](launch_error error) {
    if (auto alive = self.lock()) alive->refused_ = std::move(error);
  };
  return {call(&mold_program::on_ready), refuse, call(&mold_program::on_closed)};
}

void mold_program::close() {
  if (std::exchange(closed_, true)) return;
  if (retry_) services_.timers.cancel(retry_);
  if (patience_) services_.timers.cancel(patience_);
  strays_ |= std::any_of(orders_.begin(), orders_.end(), [](auto& o) { return o.second.given; });
  client_.reset();
  services_.children.signal(process_, SIGKILL);
  let_go();
  view_.open = false;
  fail_orders({"mold", ECANCELED, "the program was closed"});
}

void mold_program::launch(child_id id, const mold_order& what, done tell) {
  auto& order = orders_[id] = {what, std::move(tell)};
  if (ready_) give(id, order);
}

bool mold_program::withdraw(child_id id) {
  auto it = orders_.find(id);
  if (it == orders_.end() || it->second.given) return false;
  orders_.erase(it);
  return true;
}

void mold_program::give(child_id id, order& order) {
  order.given = true;
  order.worker = services_.children.expect();
  client_->launch(order.what, [self = weak_from_this(), id](made_worker made, auto error) {
    if (auto alive = self.lock()) alive->on_answer(id, std::move(made), std::move(error));
  });
  if (!patience_) expect_answer();
}

void mold_program::on_answer(child_id id, made_worker made, std::optional<launch_error> error) {
  if (error) strays_ = true;
  // The mold is gone. What that was is known, and told, once its exit status is.
  if (error && (error->error == EPIPE || error->error == ECONNRESET)) return;
  auto node = orders_.extract(id);
  if (node.empty()) return;
  expect_answer();
  node.mapped().tell(std::move(made), std::move(error));
  if (orders_.empty()) at_rest_();
}

/// From now on, if it owes one: that it is ready, or what became of an order.
void mold_program::expect_answer() {
  if (patience_) services_.timers.cancel(std::exchange(patience_, 0));
  bool owes = !ready_ || std::ranges::any_of(orders_, [](auto& o) { return o.second.given; });
  if (!owes) return;
  duration limit = ready_ ? services_.options.mold_patience : what_->boot_timeout;
  auto now = steady_now();
  if (limit >= never - now) return;
  patience_ = services_.timers.call_at(now + limit, [self = weak_from_this()] {
    auto alive = self.lock();
    if (!alive) return;
    alive->patience_ = 0;
    alive->hung_ = true;
    alive->services_.children.signal(alive->process_, SIGKILL);
  });
}

void mold_program::on_ready() {
  ready_ = true;
  ready_at_ = steady_now();
  services_.save_anew();
  expect_answer();
  for (auto& [id, order] : orders_)
    if (!order.given) give(id, order);
  if (std::exchange(view_.open, true)) return;
  if (changed_) changed_();
}

void mold_program::on_closed() {
  ready_ = false;
  // Not from within the client's own call. Without its socket a mold is of no use: it ends.
  boost::asio::post(services_.executor, [self = weak_from_this(), pid = pid_] {
    auto alive = self.lock();
    if (!alive || alive->pid_ != pid || !alive->client_) return;
    alive->client_.reset();
    alive->services_.children.signal(alive->process_, SIGKILL);
    if (alive->died_) alive->on_gone();
  });
}

void mold_program::on_died(exit_status status) {
  died_ = status;
  if (patience_) services_.timers.cancel(std::exchange(patience_, 0));
  services_.children.bury(process_);
  process_ = 0;
  drop_mold();
  services_.save_anew();
  record_exit();
  if (!client_) on_gone();
}

/// The mold is dead, and everything it had to say was heard.
void mold_program::on_gone() {
  bool was_ready = ready_at_ != time_point{};
  // Killed from outside, it is no failure of the program's: the next mold makes those workers.
  int whose = ended_by_others(was_ready) ? ECANCELED : ECHILD;
  fail_given_orders({"mold", whose, "it ended: " + died_->str()});
  if (strays_) adopt_strays();
  if (closed_) return;
  if (!view_.open) {
    auto how = hung_ ? launch_error{"mold", ETIMEDOUT, "its preload took too long"}
                     : launch_error{"mold", ECHILD, "it ended: " + died_->str()};
    return fail(refused_.value_or(std::move(how)));
  }
  start_later(was_ready);
}

/// One that is killed before it was ever ready may well be too large: that is its own doing.
bool mold_program::ended_by_others(bool was_ready) const {
  return was_ready && !hung_ && died_ && (died_->signal() == SIGKILL || died_->signal() == SIGTERM);
}

void mold_program::start_later(bool was_ready) {
  restart_facts facts;
  facts.cause = ended_by_others(was_ready) ? exit_cause::killed : exit_cause::crash;
  facts.was_ready = was_ready;
  if (was_ready) facts.ready_for = steady_now() - std::exchange(ready_at_, {});
  facts.failures = failures_;
  facts.random = services_.random();
  auto decision = decide_restart(what_->restart, facts);
  failures_ = decision.failures;
  retry_ = services_.timers.call_at(steady_now() + decision.delay, [self = weak_from_this()] {
    auto alive = self.lock();
    if (!alive) return;
    alive->retry_ = 0;
    alive->start_again();
  });
}

void mold_program::start_again() {
  try {
    start();
  } catch (const boost::system::system_error&) {
    start_later(false);
  }
}

void mold_program::fail(launch_error error) {
  if (closed_) return;
  fail_orders(error);
  view_.failed = std::move(error);
  if (changed_) changed_();
}

void mold_program::fail_orders(const launch_error& error) {
  for (auto& [id, order] : std::exchange(orders_, {})) order.tell({}, error);
}

void mold_program::fail_given_orders(const launch_error& error) {
  std::vector<done> given;
  for (auto& [id, order] : orders_)
    if (order.given) given.push_back(std::move(order.tell));
  std::erase_if(orders_, [](auto& each) { return each.second.given; });
  for (auto& tell : given) tell({}, error);
}

void mold_program::expect_stray(std::size_t cell) {
  strays_ = true;
  stray_cells_.push_back(cell);
}

/// Siblings must not leave connections to one that will never take any.
void mold_program::retire_stray_cells() noexcept {
  for (auto cell : stray_cells_) cells_->at(cell).share = kernel::activity::none;
}

/// A mold that died between forking a worker and telling us has left a child that nobody knows. Its
/// channel is closed by now, so it leaves; it has to be reaped. It is known by its name: another
/// child of this process is not ours to reap.
void mold_program::adopt_strays() {
  strays_ = false;
  retire_stray_cells();
  for (pid_t pid : kernel::children_of(::getpid())) {
    if (services_.children.holds(pid)) continue;
    auto name = kernel::short_name(pid);
    if (name != mold_short_name && name != worker_short_name) continue;
    try {
      services_.children.adopt(held_process(services_.executor, pid, kernel::open_pidfd(pid)),
                               [owner = shared_from_this()] { owner->retire_stray_cells(); });
    } catch (const boost::system::system_error&) {
      strays_ = true;  // no descriptor left: again when the next mold goes
    }
  }
}

void mold_program::record_exit() {
  event gone(event_kind::mold_exited);
  gone.pool = pool_;
  gone.generation = generation_;
  gone.pid = pid_;
  gone.exit = *died_;
  if (closed_) gone.why = exit_cause::stopped;
  if (hung_) gone.why = exit_cause::hang;
  if (refused_) gone.text = refused_->str();
  services_.log.record(std::move(gone));
}

}  // namespace supervisor
