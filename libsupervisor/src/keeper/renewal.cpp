// A keeper goes on as another program, in the same process: its children stay its children, what
// signals it waits stay, and so does whatever it has open.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "keeper/keeper.hpp"
#include "keeper/memory.hpp"
#include "kernel/error.hpp"

namespace supervisor {

namespace {

bool write_all(int memory, const void* from, std::size_t size) noexcept {
  auto write = [&] { return ::write(memory, from, size); };
  return kernel::uninterrupted(write) == static_cast<ssize_t>(size);
}

void set_inherited(int descriptor, bool inherited) noexcept {
  ::fcntl(descriptor, F_SETFD, inherited ? 0 : FD_CLOEXEC);
}

std::int64_t count_of(time_point t) { return t.time_since_epoch().count(); }

}  // namespace

/// Nothing is half told, and nobody but the master is there who would have to be taken along.
bool keeper::may_renew() const noexcept {
  return renewal_due_ && !has_to_tell() && master_.pid && settled_ && !on_trial_ &&
         !candidate_.pid && !guard_.pid && !waiting_ && !leaving_;
}

/// Returns where it cannot be.
void keeper::renew() noexcept {
  renewal_due_ = false;
  int error = write_and_execute();
  pass_descriptors(false);
  tell_of_renewal(error);
}

int keeper::write_and_execute() noexcept {
  keeper_memory left{};
  save(left);
  if (!starter_.save(left)) return ENAMETOOLONG;
  kernel::unique_fd memory(::memfd_create("supervisor-keeper", MFD_CLOEXEC));
  if (!memory || !write_all(memory.get(), &left, sizeof left)) return errno;
  for (auto& place : store_.places()) {
    keeper_memory::place row{};
    row.index = static_cast<std::uint32_t>(&place - store_.places().data());
    row.descriptor = place.fd();
    row.pid = place.pid;
    row.end = place.end;
    if (place.number && !write_all(memory.get(), &row, sizeof row)) return errno;
  }
  pass_descriptors(true);
  set_inherited(memory.get(), true);
  return starter_.execute_here(memory.get());
}

void keeper::pass_descriptors(bool inherited) noexcept {
  set_inherited(master_.pidfd.get(), inherited);
  set_inherited(master_.socket.get(), inherited);
  for (auto& place : store_.places())
    if (place.number) set_inherited(place.fd(), inherited);
}

void keeper::tell_of_renewal(int error) noexcept {
  keeper_wire::record told;
  told.what = keeper_wire::kind::renewed;
  told.count = error == 0;
  told.end.status = error;
  send(master_, told);
}

void keeper::save(keeper_memory& left) const noexcept {
  left.size = sizeof left;
  left.place_size = sizeof(keeper_memory::place);
  left.keeper = ::getpid();
  for (auto& place : store_.places()) left.places += place.number != 0;
  left.master = master_.pid;
  left.master_pidfd = master_.pidfd.get();
  left.master_socket = master_.socket.get();
  left.deaths = deaths_;
  left.last_by_signal = last_end_.by_signal;
  left.last_number = last_end_.number;
  left.last_master = last_record_;
  left.upgraded = upgraded_;
  left.asked_to_stop = stop_.has_value();
  left.stop = stop_.value_or(siginfo_t{});
  left.stop_passed_at = count_of(stop_passed_at_);
  left.settled_at = count_of(settled_at_);
  left.unheld = unheld_;
  left.strangers = strangers_;
  left.last_guard = last_guard_;
  left.last_candidate = last_candidate_;
}

keeper::keeper(const keeper_memory& left, int memory, master_starter& starter,
               kernel::unique_fd signals) noexcept
    : starter_(starter), signals_(std::move(signals)) {
  master_ = {left.master, kernel::unique_fd(left.master_pidfd),
             kernel::unique_fd(left.master_socket)};
  settled_ = ever_settled_ = true;
  deaths_ = left.deaths;
  last_end_ = {left.last_by_signal != 0, left.last_number};
  last_record_ = left.last_master;
  upgraded_ = left.upgraded;
  if (left.asked_to_stop) stop_ = left.stop;
  stop_passed_at_ = time_point(duration(left.stop_passed_at));
  settled_at_ = time_point(duration(left.settled_at));
  unheld_ = left.unheld;
  strangers_ = told_strangers_ = left.strangers;
  last_guard_ = left.last_guard;
  last_candidate_ = left.last_candidate;
  for (std::uint32_t i = 0; i < left.places; ++i) {
    keeper_memory::place row{};
    auto size = std::min<std::size_t>(left.place_size, sizeof row);
    auto at = static_cast<off_t>(left.size + i * std::size_t{left.place_size});
    ::pread(memory, &row, size, at);
    auto* held = store_.put(row.index, row.pid, kernel::unique_fd(row.descriptor));
    if (held) held->end = row.end;
  }
  pass_descriptors(false);
  telling_ = store_.places().size();
  tell_of_renewal(0);
}

}  // namespace supervisor
