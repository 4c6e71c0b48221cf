// The part of a mold's program that outlives the process that has started it.
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>
#include <utility>

#include "process/mold_program.hpp"

namespace supervisor {

saved_mold mold_program::save() {
  auto& store = *services_.options.store;
  auto hold = [&store](held_index& where, int descriptor) {
    if (!where && descriptor >= 0) where = store.hold(descriptor);
  };
  hold(held_.program, program_.get());
  if (cells_) hold(held_.cells, cells_->memory());
  auto saved = held_;
  saved.cells_used = cells_ ? cells_->used() : 0;
  saved.open = view_.open;
  if (!ready_ || !process_ || !client_) return saved;
  if (!held_.process) held_.process = store.hold_process(services_.children.pidfd(process_), pid_);
  hold(held_.socket, client_->socket());
  saved.process = held_.process;
  saved.socket = held_.socket;
  saved.pid = pid_;
  return saved;
}

void mold_program::go_on(const saved_mold& saved) {
  auto& store = *services_.options.store;
  program_ = store.take(saved.program);
  auto cells = store.take(saved.cells);
  if (!program_ || !cells) return open();
  held_ = saved;
  cells_ = std::make_shared<activity_cells>(std::move(cells), saved.cells_used);
  auto pidfd = store.take(saved.process);
  auto socket = store.take(saved.socket);
  view_.open = saved.open;
  if (!pidfd || !socket) {
    drop_mold();
    boost::asio::post(services_.executor, [self = weak_from_this()] {
      if (auto alive = self.lock()) alive->start_again();
    });
    return;
  }
  pid_ = saved.pid;
  ready_ = another_ = true;
  ready_at_ = steady_now();
  reaper::observer observer;
  observer.died = [owner = shared_from_this()](exit_status status) { owner->on_died(status); };
  observer.reaped = [](auto&) {};
  process_ = services_.children.hold_of_another(
      held_process(services_.executor, pid_, std::move(pidfd)), held_.process, std::move(observer));
  client_ = std::make_unique<mold_client>(mold_client::in_service(), services_.executor,
                                          std::move(socket), client_observer());
}

void mold_program::drop_mold() noexcept {
  auto* store = services_.options.store;
  if (!store) return;
  store->drop(std::exchange(held_.process, 0));
  store->drop(std::exchange(held_.socket, 0));
}

void mold_program::let_go() noexcept {
  drop_mold();
  auto* store = services_.options.store;
  if (!store) return;
  store->drop(std::exchange(held_.program, 0));
  store->drop(std::exchange(held_.cells, 0));
}

}  // namespace supervisor
