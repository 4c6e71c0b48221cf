#include "supervisor/task_group.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>
#include <list>

#include "host/deadline_timer.hpp"
#include "host/interruptible.hpp"
#include "supervisor/condition.hpp"

namespace asio = boost::asio;

namespace supervisor {

struct task_group::impl {
  struct member {
    asio::cancellation_signal signal;
    bool cancelled = false;
  };

  impl(asio::any_io_executor e, std::function<void(std::exception_ptr)> f)
      : executor(e), failed(std::move(f)), left(e) {}

  asio::any_io_executor executor;
  std::function<void(std::exception_ptr)> failed;
  condition left;
  std::list<std::shared_ptr<member>> members;
  std::exception_ptr first;
};

task_group::task_group(asio::any_io_executor executor,
                       std::function<void(std::exception_ptr)> failed)
    : impl_(std::make_shared<impl>(std::move(executor), std::move(failed))) {}
task_group::~task_group() = default;

void task_group::spawn(asio::awaitable<void> task, std::string_view name) {
  auto member = std::make_shared<impl::member>();
  auto place = impl_->members.insert(impl_->members.end(), member);
  auto done = [self = impl_, place](std::exception_ptr error) {
    if (error && !is_cancellation(error)) {
      if (self->failed)
        self->failed(error);
      else if (!self->first)
        self->first = error;
    }
    self->members.erase(place);
    self->left.notify();
  };
  // Only within the loop does co_spawn reach the task before a cancellation can; one that came
  // earlier would throw out of the loop, see shielded_end(). So it is told when the task has begun.
  asio::post(impl_->executor, [executor = name_executor(impl_->executor, name), member,
                               task = std::move(task), done = std::move(done)]() mutable {
    bool cancelled = member->cancelled;
    asio::co_spawn(executor, shielded_end(std::move(task)),
                   asio::bind_cancellation_slot(member->signal.slot(), std::move(done)));
    if (cancelled) member->signal.emit(asio::cancellation_type::terminal);
  });
}

void task_group::cancel() {
  // Emitted from within the loop only: co_spawn's own cancellation handler is dispatched with a
  // pointer into the member, which would dangle if the member ended in between (asio#1332). A
  // member that ends erases itself later, from the loop, so the list is stable here.
  asio::dispatch(impl_->executor, [self = impl_] {
    for (auto& member : self->members) {
      member->cancelled = true;
      member->signal.emit(asio::cancellation_type::terminal);
    }
  });
}

std::size_t task_group::size() const noexcept { return impl_->members.size(); }

asio::awaitable<void> task_group::join() {
  // No reference counted here: a join that is never resumed must not keep the group alive.
  while (!impl_->members.empty()) co_await impl_->left.wait();
  if (auto error = std::exchange(impl_->first, nullptr)) std::rethrow_exception(error);
}

}  // namespace supervisor
