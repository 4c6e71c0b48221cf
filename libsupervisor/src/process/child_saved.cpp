// The part of a child that outlives the process that has made it.
#include "kernel/descent.hpp"
#include "process/child.hpp"

namespace supervisor {

std::optional<saved_child> child::save() {
  if (!process_ || !view_.pid) return {};
  auto& store = *services_.options.store;
  auto hold = [&store](held_index& where, int descriptor) {
    if (!where && descriptor >= 0) where = store.hold(descriptor);
  };
  if (!held_.process)
    held_.process = store.hold_process(services_.children.pidfd(process_), view_.pid);
  if (notify_) hold(held_.talk, notify_->socket());
  if (out_) hold(held_.out, out_->pipe());
  if (err_) hold(held_.err, err_->pipe());
  if (ready_) hold(held_.newline, ready_.get());
  auto saved = held_;
  saved.request = request_;
  saved.id = view_.id;
  saved.pid = view_.pid;
  saved.started = started_;
  saved.ready = view_.ready;
  saved.stopping = view_.stopping;
  saved.spent = view_.spent;
  saved.status = view_.status;
  saved.asks_until = view_.asks_until;
  saved.reloading = view_.reloading;
  saved.reloads = view_.reloads;
  saved.cell = cell_;
  if (out_) saved.out_rest = out_->rest();
  if (err_) saved.err_rest = err_->rest();
  return saved;
}

/// What we know of it now is known to whoever comes after us.
void child::note() {
  if (!services_.keep) return;
  saved_change change;
  change.child = save();
  if (change.child) services_.keep(change);
}

bool child::go_on(const saved_child& saved, const kernel::credentials& who,
                  std::shared_ptr<mold_program> mold) {
  auto& store = *services_.options.store;
  auto pidfd = store.take(saved.process);
  if (!pidfd) return false;
  become(saved.id, saved.request, {});
  held_ = saved;
  view_.pid = saved.pid;
  view_.ready = saved.ready;
  view_.stopping = saved.stopping;
  view_.spent = saved.spent;
  view_.status = saved.status;
  view_.asks_until = saved.asks_until;
  view_.reloading = saved.reloading;
  view_.reloads = saved.reloads;
  if ((mold_ = std::move(mold)) && saved.cell) {
    cells_ = mold_->cells();
    cell_ = static_cast<std::size_t>(*saved.cell);
    cells_->claim(*cell_);
  }
  auto told = [this](auto& said) { on_notification(said); };
  auto talk = store.take(saved.talk);
  if (talk && mold_)
    notify_.emplace(services_.executor, std::move(talk), told);
  else if (talk)
    notify_.emplace(services_.executor, std::move(talk), who.user, told);
  auto newline = store.take(saved.newline);
  if (newline && !saved.ready)
    ready_ = watched_fd(services_.executor, std::move(newline), [this] { read_ready(); });
  read(out_, store.take(saved.out), false);
  read(err_, store.take(saved.err), true);
  hold(held_process(services_.executor, saved.pid, std::move(pidfd)));
  started_ = saved.started;
  if (cell_) {
    // What it has said may have died with who was told.
    view_.ready |= sample()->now == scoreboard::phase::serving;
    begin_sampling();
  }
  if (out_) out_->go_on(saved.out_rest);
  if (err_) err_->go_on(saved.err_rest);
  return true;
}

void child::end_if_strange() noexcept {
  auto& all = services_.children;
  if (process_ && all.is_of_another(process_)) kernel::kill_tree(view_.pid, all.pidfd(process_));
}

void child::let_go() noexcept {
  if (services_.keep) {
    saved_change change;
    change.gone = view_.id;
    services_.keep(change);
  }
  if (auto* store = services_.options.store)
    for (auto* where : {&held_.process, &held_.talk, &held_.out, &held_.err, &held_.newline})
      store->drop(std::exchange(*where, 0));
}

}  // namespace supervisor
