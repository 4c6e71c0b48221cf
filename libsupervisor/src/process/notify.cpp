#include "process/notify.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "kernel/channel.hpp"
#include "kernel/sockets.hpp"

namespace word = supervisor::kernel::word;

namespace supervisor {

namespace {

/// Messages a turn: a child that floods its socket must not keep the loop. More than a socket's
/// buffer holds of one sender, so that at its death nothing stays behind.
constexpr int messages_a_turn = 512;

struct envelope {
  std::optional<uid_t> sender;
  std::vector<kernel::unique_fd> descriptors;
};

envelope open_envelope(msghdr& message) {
  envelope in;
  for (auto* part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET) continue;
    if (part->cmsg_type == SCM_CREDENTIALS) {
      ucred who;
      std::memcpy(&who, CMSG_DATA(part), sizeof who);
      in.sender = who.uid;
    } else if (part->cmsg_type == SCM_RIGHTS) {
      for (std::size_t at = 0; CMSG_LEN(at + sizeof(int)) <= part->cmsg_len; at += sizeof(int)) {
        int fd;
        std::memcpy(&fd, CMSG_DATA(part) + at, sizeof fd);
        in.descriptors.emplace_back(fd);
      }
    }
  }
  return in;
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

constexpr std::string_view no_name = "stored";

}  // namespace

void notification::add(std::string_view message) {
  notification said;
  std::string_view called;
  stores = unstores = false;
  polled = true;
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
    stores |= line == word::store;
    unstores |= line == word::unstore;
    polled &= line != word::unpolled;
    if (line.starts_with(word::descriptor_name)) called = line.substr(word::descriptor_name.size());
    if (line.starts_with(word::status)) said.status = line.substr(word::status.size());
    if (line.starts_with(word::extend))
      if (auto asked = microseconds(line.substr(word::extend.size()))) said.extend = asked;
    message.remove_prefix(end == message.npos ? message.size() : end + 1);
  }
  const bool named = kernel::can_name_descriptor(called);
  name = named ? called : no_name;
  unstores &= named;
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
                             std::function<void(notification&)> told)
    : channel_(true),
      told_(std::move(told)),
      socket_(std::move(executor), std::move(channel), [this] { drain(); }) {}

notify_server::notify_server(boost::asio::any_io_executor executor, kernel::unique_fd datagrams,
                             std::optional<uid_t> sender, std::function<void(notification&)> told)
    : channel_(false),
      sender_(sender),
      told_(std::move(told)),
      socket_(std::move(executor), std::move(datagrams), [this] { drain(); }) {}

void notify_server::drain() {
  notification all;
  for (int i = 0; i < messages_a_turn && receive(all); ++i) {
    if (!all.stands_alone()) continue;
    told_(all);
    all = {};
  }
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
  auto in = open_envelope(message);
  bool trusted =
      channel_ ||
      (in.sender && (*in.sender == 0 || *in.sender == ::geteuid() || in.sender == sender_));
  if (!trusted) return true;
  all.add({text, static_cast<std::size_t>(size)});
  all.descriptors = std::move(in.descriptors);
  return true;
}

bool notify_server::send(std::string_view text, std::span<const int> descriptors) noexcept {
  return socket_ && channel_ &&
         kernel::send_packet(socket_.get(), text, descriptors, MSG_DONTWAIT) == 0;
}

}  // namespace supervisor
