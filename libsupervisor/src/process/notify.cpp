#include "process/notify.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "kernel/channel.hpp"

namespace word = supervisor::kernel::word;

namespace supervisor {

namespace {

/// Messages a turn: a child that floods its socket must not keep the loop. More than a socket's
/// buffer holds of one sender, so that at its death nothing stays behind.
constexpr int messages_a_turn = 512;

/// Closes what descriptors came along; returns who sent it.
std::optional<uid_t> open_envelope(msghdr& message) {
  std::optional<uid_t> sender;
  for (auto* part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET) continue;
    if (part->cmsg_type == SCM_CREDENTIALS) {
      ucred who;
      std::memcpy(&who, CMSG_DATA(part), sizeof who);
      sender = who.uid;
    } else if (part->cmsg_type == SCM_RIGHTS) {
      for (std::size_t at = 0; CMSG_LEN(at + sizeof(int)) <= part->cmsg_len; at += sizeof(int)) {
        int fd;
        std::memcpy(&fd, CMSG_DATA(part) + at, sizeof fd);
        ::close(fd);
      }
    }
  }
  return sender;
}

/// Nothing where it is no number.
std::optional<duration> microseconds(std::string_view text) {
  // What is longer is no time to wait for a process, and overflows when it is added to now.
  constexpr std::uint64_t most = 365ull * 24 * 3600 * 1'000'000;
  std::uint64_t count = 0;
  auto end = text.data() + text.size();
  auto parsed = std::from_chars(text.data(), end, count);
  if (parsed.ptr != end || parsed.ec != std::errc{}) return {};
  return std::chrono::microseconds(std::min(count, most));
}

}  // namespace

void notification::add(std::string_view message) {
  notification said;
  while (!message.empty()) {
    auto end = message.find('\n');
    auto line = message.substr(0, end);
    said.ready |= line == word::ready;
    said.stopping |= line == word::stopping;
    said.busy |= line == word::busy;
    said.alive |= line == word::alive;
    said.heartbeat |= line == word::heartbeat;
    said.recycle |= line == word::recycle;
    if (line == word::reloading) said.reloads = 1;
    if (line.starts_with(word::status)) said.status = line.substr(word::status.size());
    if (line.starts_with(word::extend))
      if (auto asked = microseconds(line.substr(word::extend.size()))) said.extend = asked;
    message.remove_prefix(end == message.npos ? message.size() : end + 1);
  }
  if (said.ready || said.reloads) said.reloading = !said.ready;
  merge(said);
}

void notification::merge(const notification& later) {
  ready |= later.ready;
  stopping |= later.stopping;
  busy |= later.busy;
  alive |= later.alive;
  heartbeat |= later.heartbeat;
  recycle |= later.recycle;
  reloads += later.reloads;
  if (later.reloading) reloading = later.reloading;
  if (later.status) status = later.status;
  if (later.extend) extend = later.extend;
}

notify_server::notify_server(boost::asio::any_io_executor executor, kernel::unique_fd channel,
                             std::function<void(const notification&)> told)
    : channel_(true),
      told_(std::move(told)),
      socket_(std::move(executor), std::move(channel), [this] { drain(); }) {}

notify_server::notify_server(boost::asio::any_io_executor executor, kernel::unique_fd datagrams,
                             std::optional<uid_t> sender,
                             std::function<void(const notification&)> told)
    : channel_(false),
      sender_(sender),
      told_(std::move(told)),
      socket_(std::move(executor), std::move(datagrams), [this] { drain(); }) {}

void notify_server::drain() {
  notification all;
  for (int i = 0; i < messages_a_turn && receive(all); ++i) continue;
  if (!all.empty()) told_(all);
}

bool notify_server::receive(notification& all) {
  if (!socket_) return false;
  char text[4096];
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(253 * sizeof(int))];
  iovec part{text, sizeof text};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t size = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  // A worker that left words of ours unread: told once, and before what it said itself, unix(7).
  if (size < 0 && (errno == EINTR || errno == ECONNRESET)) return true;
  if (size < 0 && errno == EAGAIN) return false;
  if (size < 0 || (size == 0 && channel_)) {
    socket_.reset();  // the worker has closed its end, or is gone
    return false;
  }
  auto sender = open_envelope(message);
  bool trusted =
      channel_ || (sender && (*sender == 0 || *sender == ::geteuid() || sender == sender_));
  if (trusted) all.add({text, static_cast<std::size_t>(size)});
  return true;
}

bool notify_server::send(std::string_view text) noexcept {
  return socket_ && channel_ &&
         ::send(socket_.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

}  // namespace supervisor
