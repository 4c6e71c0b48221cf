#include "process/shards.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <optional>

#include "kernel/accept_queue.hpp"
#include "kernel/descriptors.hpp"
#include "kernel/reuseport.hpp"
#include "process/saved_host.hpp"
#include "process/services.hpp"

namespace supervisor {

struct shard {
  std::uint64_t id = 0;
  kernel::unique_fd socket;
  std::optional<shard_user> user;  ///< none yet: of the listener's own
  unsigned leases = 0;
  unsigned serving = 0;
  watched_fd late;            ///< for what comes although nobody serves
  kernel::unique_fd in_hand;  ///< accepted, and not yet passed on
  timer_id retrying = 0;
  timer_id closing = 0;
  descriptor_store::index where = 0;  ///< it is held, to outlive us
};

namespace {
/// After how long a worker may have room for what it had none for.
constexpr auto pause = std::chrono::milliseconds(10);
constexpr std::uint64_t first = 1;  ///< the id of the listener's own
}  // namespace

shards::shards(process_services& services, int socket, std::vector<kernel::unique_fd> others,
               int backlog, passer pass, observer told)
    : services_(services), backlog_(backlog), pass_(std::move(pass)), told_(std::move(told)) {
  others.insert(others.begin(), kernel::duplicate(socket));
  for (auto& each : others) {
    auto& one = *group_.emplace_back(std::make_unique<shard>());
    one.id = ++last_;
    one.socket = std::move(each);
    if (one.id != first) told_(static_cast<unsigned>(group_.size() - 1), one.socket.get());
  }
}

shards::shards(process_services& services, const std::vector<saved_shard>& left, int backlog,
               passer pass, observer told)
    : services_(services), backlog_(backlog), pass_(std::move(pass)), told_(std::move(told)) {
  for (auto& each : left) {
    auto socket = services_.options.store->take(each.where);
    if (!socket) continue;
    auto& one = *group_.emplace_back(std::make_unique<shard>());
    one.id = each.id;
    one.socket = std::move(socket);
    one.user = each.user;
    one.where = each.where;
    last_ = std::max(last_, each.id);
  }
}

shards::~shards() {
  for (auto& each : group_) {
    for (auto timer : {each->retrying, each->closing})
      if (timer) services_.timers.cancel(timer);
    if (auto* store = services_.options.store) store->drop(each->where);
  }
}

std::vector<saved_shard> shards::save() {
  std::vector<saved_shard> all;
  for (auto& each : group_) {
    if (!each->where) each->where = services_.options.store->hold(each->socket.get());
    all.push_back({each->id, each->where, each->user});
  }
  return all;
}

std::unique_ptr<shards::lease> shards::take(const shard_user& user) {
  // The listener's own is the first one's, whichever slot that has.
  auto known = std::ranges::find_if(
      group_, [&](auto& each) { return !each->user || each->user->slot == user.slot; });
  if (known == group_.end()) {
    auto made = std::make_unique<shard>();
    made->id = ++last_;
    made->socket = kernel::join_listener(group_.front()->socket.get(), backlog_);
    known = group_.insert(group_.end(), std::move(made));
    told_(static_cast<unsigned>(group_.size() - 1), group_.back()->socket.get());
    services_.save_anew();
  }
  auto& found = **known;
  if (std::exchange(found.user, user) != user) services_.save_anew();
  auto leased = std::unique_ptr<lease>(new lease(shared_from_this(), found));
  update();
  return leased;
}

std::vector<int> shards::sockets() const {
  std::vector<int> all;
  for (auto& each : group_) all.push_back(each->socket.get());
  return all;
}

shards::lease::lease(std::shared_ptr<shards> of, shard& s) : of_(std::move(of)), shard_(s) {
  ++shard_.leases;
}

shards::lease::~lease() {
  serve(false);
  --shard_.leases;
  of_->update();
}

int shards::lease::socket() const noexcept { return shard_.socket.get(); }

void shards::lease::serve(bool now) {
  if (now == serves_) return;
  serves_ = now;
  now ? ++shard_.serving : --shard_.serving;
  of_->update();
}

void shards::update() {
  std::vector<unsigned> idle;
  for (unsigned i = 0; i < group_.size(); ++i)
    if (group_[i]->serving == 0) idle.push_back(i);
  // Where nobody serves, all wait for those who come.
  if (idle.size() == group_.size()) idle.clear();
  // Where the kernel has no memory for it, what goes astray is passed on.
  kernel::steer(group_.front()->socket.get(), static_cast<unsigned>(group_.size()), idle);
  for (auto& each : group_) tend(*each);
}

/// Who can be given what comes to those that nobody serves.
const shard_user* shards::heir() const {
  auto it = std::ranges::find_if(group_, [](auto& each) {
    return each->serving > 0 && each->user && each->user->takes_connections;
  });
  return it == group_.end() ? nullptr : &*(*it)->user;
}

void shards::tend(shard& s) {
  if (s.in_hand && !s.retrying) empty(s);
  if (s.serving > 0 || !heir()) {
    s.late.reset();
  } else if (!s.late && !s.retrying) {
    try {
      s.late = watched_fd(services_.executor, kernel::duplicate(s.socket.get()),
                          [this, &s] { empty(s); });
    } catch (const boost::system::system_error&) {
      // No descriptor left: with the next change.
    }
  }
  close_later(s);
}

void shards::close_later(shard& s) {
  const bool served = std::ranges::any_of(group_, [](auto& each) { return each->serving > 0; });
  const bool spare = served && s.leases == 0 && s.id != first;
  if (!spare && s.closing) services_.timers.cancel(std::exchange(s.closing, 0));
  if (!spare || s.closing) return;
  auto hold = kernel::moves_to_others() ? duration{} : kernel::longest_handshake();
  s.closing = services_.timers.call_at(steady_now() + hold, [weak = weak_from_this(), id = s.id] {
    if (auto self = weak.lock()) self->close(id);
  });
}

/// What waits at a socket that nobody serves goes to those who serve.
void shards::empty(shard& s) {
  bool more = true;
  auto* to = heir();
  while (to && more && (s.in_hand || accept(s, more))) {
    more = pass_(*to, s.in_hand.get());
    if (more) s.in_hand.reset();
  }
  if (more || s.retrying) return;
  s.late.reset();
  s.retrying = services_.timers.call_at(steady_now() + pause, [this, &s] {
    s.retrying = 0;
    empty(s);
    tend(s);
  });
}

/// False where there is none; `more` becomes false where one may be that cannot be had now.
bool shards::accept(shard& s, bool& more) {
  do s.in_hand.reset(::accept4(s.socket.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  while (!s.in_hand && (errno == EINTR || errno == ECONNABORTED));
  if (!s.in_hand) more = errno == EAGAIN;
  return static_cast<bool>(s.in_hand);
}

/// Nothing is left that could come to it.
void shards::close(std::uint64_t id) {
  auto it = std::ranges::find_if(group_, [&](auto& each) { return each->id == id; });
  if (it == group_.end()) return;
  (*it)->closing = 0;
  empty(**it);
  if ((*it)->retrying) return tend(**it);  // its time begins anew
  kernel::leave_listener((*it)->socket.get());
  if (auto* store = services_.options.store) store->drop((*it)->where);
  services_.save_anew();
  // As the kernel does.
  std::swap(*it, group_.back());
  told_(static_cast<unsigned>(group_.size() - 1), -1);
  if (it->get() != group_.back().get())
    told_(static_cast<unsigned>(it - group_.begin()), (*it)->socket.get());
  group_.pop_back();
  update();
}

}  // namespace supervisor
