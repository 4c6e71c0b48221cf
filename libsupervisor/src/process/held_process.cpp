#include "process/held_process.hpp"

#include <boost/process/v2/process.hpp>
#include <optional>

namespace process = boost::process::v2;

namespace supervisor {

struct held_process::impl {
  ~impl() {
    if (process) auto closed = process->detach();  // else its destructor would kill by number
  }
  std::optional<process::basic_process<boost::asio::any_io_executor>> process;
  kernel::unique_fd alone;  // where Asio had no room for it
};

held_process::held_process(boost::asio::any_io_executor executor, pid_t pid,
                           kernel::unique_fd pidfd)
    : pid_(pid), pidfd_(pidfd.get()), impl_(std::make_unique<impl>()) {
  try {
    impl_->process.emplace(std::move(executor), pid, pidfd.get());
    pidfd.release();
  } catch (const boost::system::system_error&) {
    // The child runs already, so it must have an owner whatever happens here (process#513).
    impl_->alone = std::move(pidfd);
  }
}

held_process::held_process(held_process&&) noexcept = default;
held_process& held_process::operator=(held_process&&) noexcept = default;
held_process::~held_process() = default;

}  // namespace supervisor
