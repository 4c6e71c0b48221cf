#include "process/watched_fd.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>

namespace asio = boost::asio;

namespace supervisor {

struct watched_fd::state : std::enable_shared_from_this<watched_fd::state> {
  state(asio::any_io_executor executor, kernel::unique_fd& fd, std::function<void()> r)
      : descriptor(std::move(executor), fd.get()), readable(std::move(r)) {
    fd.release();
  }

  // A completion may be queued already when the owner goes: it finds `closed`, not a dead owner.
  void arm() {
    descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                          [self = shared_from_this()](boost::system::error_code error) {
                            if (error || self->closed) return;
                            self->readable();
                            if (!self->closed) self->arm();
                          });
  }

  asio::posix::stream_descriptor descriptor;
  std::function<void()> readable;
  bool closed = false;
};

watched_fd::watched_fd(asio::any_io_executor executor, kernel::unique_fd fd,
                       std::function<void()> readable)
    : state_(std::make_shared<state>(std::move(executor), fd, std::move(readable))) {
  state_->arm();
}

watched_fd& watched_fd::operator=(watched_fd&& other) noexcept {
  if (this != &other) {
    reset();
    state_ = std::move(other.state_);
  }
  return *this;
}

watched_fd::~watched_fd() { reset(); }

int watched_fd::get() const noexcept { return state_ ? state_->descriptor.native_handle() : -1; }

void watched_fd::reset() noexcept {
  if (!state_) return;
  auto last = std::move(state_);
  last->closed = true;
  boost::system::error_code ignored;
  last->descriptor.close(ignored);
}

}  // namespace supervisor
