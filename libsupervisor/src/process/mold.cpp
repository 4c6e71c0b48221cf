#include "process/mold.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <deque>
#include <map>

#include "kernel/sockets.hpp"
#include "process/mold_wire.hpp"

namespace asio = boost::asio;

namespace supervisor {

using mold_wire::kind;
using completion = std::function<void(pid_t, std::optional<launch_error>)>;

struct mold_client::impl : std::enable_shared_from_this<mold_client::impl> {
  struct packet {
    std::uint64_t id = 0;  // of the order; 0: the setup
    std::string bytes;
    std::vector<int> descriptors;              // the caller's, or those of `kept`
    std::vector<kernel::unique_fd> kept = {};  // duplicates: the caller may close its own
  };

  impl(asio::any_io_executor executor, kernel::unique_fd s, observer o)
      : socket(executor, s.release()), told(std::move(o)) {
    // A setup packet is as large as its environment. Where the limit stays, sending says EMSGSIZE.
    const int size = 256 * 1024;
    if (setsockopt(socket.native_handle(), SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0)
      setsockopt(socket.native_handle(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  }

  void send(packet p);
  bool send_now(packet& p);
  bool keep(packet& p);
  void pump();
  void wait();
  void receive();
  void dispatch(std::string_view bytes);
  void settle(std::uint64_t id, pid_t pid, std::optional<launch_error> error);
  void close();
  void fail_later(packet p, int error);

  // Orders the mold has not answered; more wait here. The bound keeps the kernel's queue, and the
  // descriptors that are under way in it (ETOOMANYREFS, unix(7)), small.
  static constexpr std::size_t window = 64;

  asio::posix::stream_descriptor socket;
  observer told;
  std::map<std::uint64_t, completion> open;
  std::deque<packet> queue;
  std::size_t unanswered = 0;
  std::uint64_t last_id = 0;
  bool ready = false;
  bool over = false;
};

/// False when the socket is full: the answers to come make room.
bool mold_client::impl::send_now(packet& p) {
  const int error =
      kernel::send_packet(socket.native_handle(), p.bytes, p.descriptors, MSG_DONTWAIT);
  if ((error == EAGAIN || error == ETOOMANYREFS || error == ENOBUFS) && unanswered > 0)
    return false;
  if (error != 0)
    fail_later(std::move(p), error);
  else if (p.id != 0)
    ++unanswered;
  return true;
}

bool mold_client::impl::keep(packet& p) {
  for (int& fd : p.descriptors) {
    fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0) return false;
    p.kept.emplace_back(fd);
  }
  return true;
}

void mold_client::impl::send(packet p) {
  if (over) return fail_later(std::move(p), EPIPE);
  const bool may = p.id == 0 || (ready && queue.empty() && unanswered < window);
  if (may && send_now(p)) return;
  if (!keep(p)) return fail_later(std::move(p), errno);
  queue.push_back(std::move(p));
}

void mold_client::impl::pump() {
  while (ready && !over && !queue.empty() && unanswered < window) {
    if (!send_now(queue.front())) return;
    queue.pop_front();
  }
}

void mold_client::impl::fail_later(packet p, int error) {
  // Never from within the caller's own call.
  asio::post(socket.get_executor(), [self = weak_from_this(), id = p.id, error] {
    auto alive = self.lock();
    if (!alive) return;
    if (id != 0) return alive->settle(id, -1, launch_error{"mold", error, "sending the order"});
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
      dispatch(p.data);
    }
  } catch (const std::exception&) {
    return close();  // not a mold of ours, or out of memory: either way it is of no more use
  }
  pump();
  if (!over) wait();
}

void mold_client::impl::dispatch(std::string_view bytes) {
  mold_wire::decoder in(bytes);
  const auto what = in.kind();
  if (what == kind::ready) {
    ready = true;
    if (told.ready) told.ready();
    return pump();
  }
  const std::uint64_t id = what == kind::refused ? 0 : in.number();
  if (what == kind::forked) {
    --unanswered;
    return settle(id, static_cast<pid_t>(in.number()), {});
  }
  if (what != kind::refused && what != kind::failed)
    throw std::runtime_error("unknown packet from the mold");
  launch_error error;
  error.stage = in.text();
  error.error = static_cast<int>(in.number());
  error.what = in.text();
  if (what == kind::failed) {
    --unanswered;
    return settle(id, -1, std::move(error));
  }
  if (told.refused) told.refused(std::move(error));
}

void mold_client::impl::settle(std::uint64_t id, pid_t pid, std::optional<launch_error> error) {
  auto order = open.extract(id);
  if (order) order.mapped()(pid, std::move(error));
}

void mold_client::impl::close() {
  while (!over && !open.empty())
    settle(open.begin()->first, -1, launch_error{"mold", 0, "died before it answered"});
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
  out.number(mold_wire::version).text(setup.pool).number(setup.generation).text(what.function);
  out.number(what.environment.size());
  for (const auto& [name, value] : what.environment) out.text(name).text(value);
  out.text(what.directory).number(what.umask.has_value()).number(what.umask.value_or(0));
  out.text(what.user).text(what.group).number(what.no_new_privileges);
  out.number(what.limits.size());
  for (const auto& l : what.limits) out.text(l.name).number(l.soft).number(l.hard);
  out.number(setup.cells).number(setup.listeners.size());
  impl::packet p{0, {}, {}};
  for (const auto& [name, fd] : setup.listeners) {
    out.text(name);
    p.descriptors.push_back(fd);
  }
  if (setup.cells > 0) p.descriptors.push_back(setup.activity);
  p.bytes = out.take();
  impl_->send(std::move(p));
}

void mold_client::launch(const mold_order& order, completion done) {
  const auto id = ++impl_->last_id;
  mold_wire::encoder out(kind::order);
  out.number(id).number(order.slot).number(order.cell);
  out.number(order.out >= 0).number(order.err >= 0);
  impl::packet p{id, out.take(), {order.channel}};
  if (order.out >= 0) p.descriptors.push_back(order.out);
  if (order.err >= 0) p.descriptors.push_back(order.err);
  impl_->open.emplace(id, std::move(done));
  impl_->send(std::move(p));
}

}  // namespace supervisor
