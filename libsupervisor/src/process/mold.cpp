#include "process/mold.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <chrono>
#include <deque>
#include <map>

#include "kernel/sockets.hpp"
#include "process/mold_wire.hpp"

namespace asio = boost::asio;

namespace supervisor {

using mold_wire::kind;

struct mold_client::impl : std::enable_shared_from_this<mold_client::impl> {
  struct waiting {
    std::uint64_t id = 0;
    mold_order what;
  };

  impl(asio::any_io_executor executor, kernel::unique_fd s, observer o)
      : socket(executor, s.release()), told(std::move(o)) {
    // A setup packet is as large as its environment. Where the limit stays, sending says EMSGSIZE.
    const int size = 256 * 1024;
    if (setsockopt(socket.native_handle(), SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0)
      setsockopt(socket.native_handle(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  }

  void send_setup(const std::string& bytes, const std::vector<int>& descriptors);
  void send_later();
  void pump();
  void wait();
  void receive();
  void dispatch(kernel::packet&);
  void dispatch_forked(mold_wire::decoder&, kernel::packet&);
  void settle(std::uint64_t id, made_worker, std::optional<launch_error> error);
  void close();
  void fail_later(std::uint64_t id, int error);

  // Orders the mold has not answered; more wait here. The bound keeps the kernel's queue, and the
  // descriptors that are under way in it (ETOOMANYREFS, unix(7)), small.
  static constexpr std::size_t window = 64;

  asio::posix::stream_descriptor socket;
  observer told;
  std::map<std::uint64_t, completion> open;
  std::deque<waiting> queue;
  bool sending = false;  // send_later() has yet to come
  std::size_t unanswered = 0;
  std::uint64_t last_id = 0;
  bool ready = false;
  bool over = false;
};

void mold_client::impl::send_setup(const std::string& bytes, const std::vector<int>& descriptors) {
  const int error = kernel::send_packet(socket.native_handle(), bytes, descriptors, MSG_DONTWAIT);
  if (error != 0) fail_later(0, error);
}

/// What is ordered in one turn of the loop goes in one packet: on a CPU that we share with it the
/// mold, woken by the first, would else make one worker after another and each boot before we get
/// to order the next.
void mold_client::impl::send_later() {
  if (std::exchange(sending, true)) return;
  asio::post(socket.get_executor(), [self = weak_from_this()] {
    auto alive = self.lock();
    if (!alive) return;
    alive->sending = false;
    alive->pump();
  });
}

void mold_client::impl::pump() {
  while (ready && !over && !queue.empty() && unanswered < window) {
    const auto count = std::min({queue.size(), window - unanswered, mold_wire::batch});
    mold_wire::encoder out(kind::orders);
    out.number(count);
    std::vector<int> descriptors;
    for (std::size_t i = 0; i < count; ++i) {
      const auto& [id, what] = queue[i];
      out.number(id).number(what.slot).number(what.cell);
      out.number(what.out >= 0).number(what.err >= 0);
      for (int fd : {what.channel, what.out, what.err})
        if (fd >= 0) descriptors.push_back(fd);
      out.number(what.own.size());
      for (const auto& [place, fd] : what.own) {
        out.number(place);
        descriptors.push_back(fd);
      }
    }
    const int error =
        kernel::send_packet(socket.native_handle(), out.bytes(), descriptors, MSG_DONTWAIT);
    // Full: the answers to come make room.
    if ((error == EAGAIN || error == ETOOMANYREFS || error == ENOBUFS) && unanswered > 0) return;
    for (std::size_t i = 0; error != 0 && i < count; ++i) fail_later(queue[i].id, error);
    if (error == 0) unanswered += count;
    queue.erase(queue.begin(), queue.begin() + static_cast<std::ptrdiff_t>(count));
  }
}

void mold_client::impl::fail_later(std::uint64_t id, int error) {
  // Never from within the caller's own call.
  asio::post(socket.get_executor(), [self = weak_from_this(), id, error] {
    auto alive = self.lock();
    if (!alive) return;
    if (id != 0) return alive->settle(id, {}, launch_error{"mold", error, "sending the order"});
    if (!alive->over && alive->told.refused)
      alive->told.refused(launch_error{"mold", error, "sending the setup"});
  });
}

void mold_client::impl::wait() {
  socket.async_wait(asio::posix::stream_descriptor::wait_read,
                    [self = shared_from_this()](boost::system::error_code error) {
                      if (!error && !self->over) self->receive();
                    });
}

void mold_client::impl::receive() {
  kernel::packet p;
  try {
    while (!over) {
      const auto got = kernel::receive_packet(socket.native_handle(), p, MSG_DONTWAIT);
      if (got == kernel::received::nothing) break;
      if (got == kernel::received::end) return close();
      dispatch(p);
    }
  } catch (const std::exception&) {
    return close();  // not a mold of ours, or out of memory: either way it is of no more use
  }
  pump();
  if (!over) wait();
}

void mold_client::impl::dispatch_forked(mold_wire::decoder& in, kernel::packet& p) {
  const auto count = in.number();
  const bool complete = !p.cut && p.descriptors.size() == count;
  for (std::size_t i = 0; i < count && !over; ++i) {
    const auto id = in.number();
    made_worker made{static_cast<pid_t>(in.number())};
    if (!open.contains(id)) continue;  // another's order
    if (complete) made.process = std::move(p.descriptors[i]);
    --unanswered;
    settle(id, std::move(made), {});
  }
}

void mold_client::impl::dispatch(kernel::packet& p) {
  mold_wire::decoder in(p.data);
  const auto what = in.kind();
  if (what == kind::ready) {
    ready = true;
    if (told.ready) told.ready();
    return pump();
  }
  if (what == kind::forked) return dispatch_forked(in, p);
  if (what != kind::refused && what != kind::failed)
    throw std::runtime_error("unknown packet from the mold");
  const std::uint64_t id = what == kind::refused ? 0 : in.number();
  launch_error error;
  error.stage = in.text();
  error.error = static_cast<int>(in.number());
  error.what = in.text();
  if (what == kind::failed) {
    if (!open.contains(id)) return;
    --unanswered;
    return settle(id, {}, std::move(error));
  }
  if (told.refused) told.refused(std::move(error));
}

void mold_client::impl::settle(std::uint64_t id, made_worker made,
                               std::optional<launch_error> error) {
  auto order = open.extract(id);
  if (order) order.mapped()(std::move(made), std::move(error));
}

void mold_client::impl::close() {
  while (!over && !open.empty())
    settle(open.begin()->first, {}, launch_error{"mold", EPIPE, "died before it answered"});
  if (over) return;
  over = true;
  queue.clear();
  boost::system::error_code ignored;
  socket.close(ignored);
  if (told.closed) told.closed();
}

mold_client::mold_client(asio::any_io_executor executor, kernel::unique_fd socket, observer told)
    : impl_(std::make_shared<impl>(std::move(executor), std::move(socket), std::move(told))) {
  impl_->wait();
}

mold_client::mold_client(in_service, asio::any_io_executor executor, kernel::unique_fd socket,
                         observer told)
    : mold_client(std::move(executor), std::move(socket), std::move(told)) {
  impl_->ready = true;
  // Behind any that another process has given.
  impl_->last_id =
      static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

int mold_client::socket() const noexcept { return impl_->socket.native_handle(); }

mold_client::~mold_client() {
  impl_->over = true;
  auto dropped = std::move(impl_->open);
  impl_->open.clear();
  boost::system::error_code ignored;
  impl_->socket.close(ignored);
}

void mold_client::setup(const mold_setup& setup) {
  const spec& what = *setup.what;
  mold_wire::encoder out(kind::setup);
  out.number(mold_wire::version)
      .text(setup.supervisor)
      .text(setup.pool)
      .number(setup.generation)
      .text(what.function);
  out.number(what.environment.size());
  for (const auto& [name, value] : what.environment) out.text(name).text(value);
  out.text(what.directory).number(what.umask.has_value()).number(what.umask.value_or(0));
  out.text(what.user).text(what.group).number(what.no_new_privileges);
  out.number(what.limits.size());
  for (const auto& l : what.limits) out.text(l.name).number(l.soft).number(l.hard);
  out.number(setup.cells).number(setup.listeners.size());
  std::vector<int> descriptors;
  for (const auto& [name, fd] : setup.listeners) {
    out.text(name);
    descriptors.push_back(fd);
  }
  out.number(setup.relays.size());
  for (const auto& each : setup.relays) {
    out.text(each.listener);
    descriptors.insert(descriptors.end(), {each.take, each.give});
  }
  if (setup.cells > 0) descriptors.push_back(setup.activity);
  impl_->send_setup(out.bytes(), descriptors);
}

void mold_client::launch(const mold_order& order, completion done) {
  const auto id = ++impl_->last_id;
  impl_->open.emplace(id, std::move(done));
  if (impl_->over) return impl_->fail_later(id, EPIPE);
  impl_->queue.push_back({id, order});
  impl_->send_later();
}

}  // namespace supervisor
