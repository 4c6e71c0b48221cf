#include "host/deadline_timer.hpp"

#include <boost/asio/execution/context.hpp>
#include <boost/asio/query.hpp>

#include "host/host.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

struct simulated_time final : asio::execution_context::service {
  using key_type = simulated_time;
  static asio::execution_context::id id;
  explicit simulated_time(asio::execution_context& owner) : service(owner) {}
  void shutdown() override {}
  host* source = nullptr;
};
asio::execution_context::id simulated_time::id;

host* find_source(const asio::any_io_executor& executor) {
  auto& context = asio::query(executor, asio::execution::context);
  if (!asio::has_service<simulated_time>(context)) return nullptr;
  return asio::use_service<simulated_time>(context).source;
}

}  // namespace

void keep_time(asio::execution_context& context, host& source) {
  asio::use_service<simulated_time>(context).source = &source;
}

asio::any_io_executor name_executor(const asio::any_io_executor& executor, std::string_view name) {
  auto* simulated = name.empty() ? nullptr : find_source(executor);
  return simulated ? simulated->executor_for(name) : executor;
}

deadline_timer::deadline_timer(asio::any_io_executor executor)
    : executor_(std::move(executor)), simulated_(find_source(executor_)) {}

time_point deadline_timer::now() const noexcept {
  return simulated_ ? simulated_->now() : std::chrono::steady_clock::now();
}

void deadline_timer::set(time_point when, std::function<void()> work) {
  cancel();
  if (when == never) return;
  work_ = std::make_shared<std::function<void()>>(std::move(work));
  auto call = [weak = std::weak_ptr(work_)] {
    if (auto due = weak.lock()) (*due)();
  };
  if (simulated_) {
    id_ = simulated_->call_at(when, call);
    return;
  }
  if (!timer_) timer_.emplace(executor_);
  timer_->expires_at(when);
  timer_->async_wait([call](boost::system::error_code) { call(); });
}

void deadline_timer::cancel() noexcept {
  if (!std::exchange(work_, nullptr)) return;
  if (simulated_)
    simulated_->cancel(id_);
  else
    timer_.reset();  // its destructor cancels, and throws nothing
}

}  // namespace supervisor
