#include "keeper_client.hpp"

#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <utility>

#include "keeper/memory.hpp"
#include "kernel/descriptors.hpp"
#include "kernel/sockets.hpp"
#include "upgrade_words.hpp"

namespace supervisor {

using keeper_wire::kind;
using keeper_wire::record;

namespace {

/// All it does is to send what it has.
constexpr auto patience = std::chrono::seconds(10), send_patience = std::chrono::seconds(1);
/// While another master is there it is the keeper who keeps the time.
constexpr auto patience_beside_another = std::chrono::hours(1);

kernel::obituary obituary_of(const keeper_wire::process_end& end) {
  auto time = [](std::int64_t us) { return timeval{us / 1'000'000, us % 1'000'000}; };
  kernel::obituary last;
  last.status = status_of(end);
  last.usage.ru_utime = time(end.user_us);
  last.usage.ru_stime = time(end.system_us);
  last.usage.ru_maxrss = end.max_rss_kib;
  return last;
}

}  // namespace

keeper_client::keeper_client(keeper_link link,
                             const std::function<void(kernel::unique_fd state)>& check)
    : link_(std::move(link.socket)) {
  inherit(check);
  be_master();
}

void keeper_client::inherit(const std::function<void(kernel::unique_fd)>& check) {
  record said;
  kernel::unique_fd along;
  auto limit = patience;
  for (;;) {
    auto got = kernel::receive_record(link_.get(), &said, sizeof said, along);
    bool late = got == kernel::received::nothing && !kernel::wait_readable(link_.get(), limit);
    if (got == kernel::received::end || late)
      throw std::runtime_error("the keeper does not say what it holds");
    if (got == kernel::received::nothing) continue;
    if (said.what == kind::go) break;
    if (said.what == kind::check) {
      answer_check(check, std::move(along));
      limit = patience_beside_another;
    }
    if (said.what == kind::upgraded) upgraded_ = said;
    if (said.what == kind::held) inherited_[said.index] = {said.pid, std::move(along)};
    if (said.what == kind::ended) ends_.push_back(said);
    next_ = std::max(next_, said.index + 1);
  }
  if (said.pid) predecessor_ = said;
  for (auto i = keeper_wire::first_free + 0u; i < next_; ++i)
    if (!inherited_.contains(i)) dropped_.push_back(i);
}

void keeper_client::answer_check(const std::function<void(kernel::unique_fd)>& check,
                                 kernel::unique_fd state) {
  try {
    check(std::move(state));
  } catch (...) {
    send(kind::unreadable);
    throw;
  }
  send(kind::prepared);
}

void keeper_client::watch(boost::asio::any_io_executor executor, observer told) {
  observer_ = std::move(told);
  socket_ = watched_fd(std::move(executor), std::move(link_), [this] { receive(); });
}

void keeper_client::receive() {
  record said;
  kernel::unique_fd along;
  for (;;) {
    auto got = kernel::receive_record(socket_.get(), &said, sizeof said, along);
    if (got == kernel::received::end) return observer_.gone();
    if (got == kernel::received::nothing) return;
    heed(said);
  }
}

void keeper_client::heed(const record& said) {
  switch (said.what) {
    case kind::ended:
      return tell_end(said);
    case kind::leave:
      return observer_.leave();
    case kind::how_is_it:
      return say_well();
    case kind::renewed:
      return observer_.renewed(said);
    case kind::upgraded:
      return on_upgraded(said);
    case kind::strangers:
      strangers_ = said.count;
      return;
    default:
      return;  // of a newer keeper
  }
}

void keeper_client::say_well() noexcept {
  record said;
  said.what = kind::well;
  said.count = keeper_memory::layout;
  send(said);
}

void keeper_client::upgrade(std::function<void(std::string)> failed) {
  upgrade_failed_ = std::move(failed);
  send(kind::upgrade);
}

void keeper_client::on_upgraded(const record& said) {
  upgraded_ = said;
  if (auto failed = std::exchange(upgrade_failed_, nullptr)) failed(words_of_upgrade(said));
}

void keeper_client::send(kind what) noexcept {
  record said;
  said.what = what;
  send(said);
}

void keeper_client::tell_end(const record& said) {
  if (!told_) return ends_.push_back(said);
  told_(said.index, obituary_of(said.end));
}

void keeper_client::on_end(teller tell) {
  told_ = std::move(tell);
  if (told_)
    for (auto& said : std::exchange(ends_, {})) tell_end(said);
}

void keeper_client::send(const record& said, int descriptor) noexcept {
  std::string_view bytes(reinterpret_cast<const char*>(&said), sizeof said);
  std::span<const int> along(&descriptor, descriptor >= 0 ? 1u : 0u);
  int socket = socket_ ? socket_.get() : link_.get();
  // It does nothing but read. One that is stopped is waited for once: what it misses, it misses.
  auto full = [&] { return kernel::send_packet(socket, bytes, along, MSG_DONTWAIT) == EAGAIN; };
  while (full())
    if (stuck_ || (stuck_ = !kernel::wait_writable(socket, send_patience))) return;
  stuck_ = false;
}

void keeper_client::hold_at(index where, int descriptor) noexcept {
  record order;
  order.what = kind::put;
  order.index = where;
  send(order, descriptor);
}

descriptor_store::index keeper_client::hold_process(int pidfd, pid_t pid) {
  record order;
  order.what = kind::put;
  order.index = next_;
  if (free_.empty())
    ++next_;
  else
    order.index = free_.back(), free_.pop_back();
  order.pid = pid;
  send(order, pidfd);
  return order.index;
}

void keeper_client::drop(index where) noexcept {
  if (where == keeper_wire::nowhere) return;
  record order;
  order.what = kind::drop;
  order.index = where;
  send(order);
  inherited_.erase(where);
  if (where >= keeper_wire::first_free) dropped_.push_back(where);
}

kernel::unique_fd keeper_client::take(index where) {
  auto known = inherited_.extract(where);
  return known ? std::move(known.mapped().descriptor) : kernel::unique_fd();
}

std::vector<descriptor_store::leftover> keeper_client::take_rest() {
  std::vector<leftover> rest;
  for (auto& [where, what] : std::exchange(inherited_, {}))
    if (where >= keeper_wire::first_free)
      rest.push_back({where, what.pid, std::move(what.descriptor)});
  return rest;
}

void keeper_client::keep_state(int memory, bool stops) {
  record order;
  order.what = kind::put;
  order.index = keeper_wire::state;
  order.count = stops;
  send(order, memory);
  free_.insert(free_.end(), dropped_.begin(), dropped_.end());
  dropped_.clear();
  if (std::exchange(settled_, true)) return;
  send(kind::settled);
  observer_.settled();
}

void keeper_client::over() noexcept { send(kind::over); }

}  // namespace supervisor
