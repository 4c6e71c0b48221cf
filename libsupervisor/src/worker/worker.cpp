#include "supervisor/worker.hpp"

#include <algorithm>
#include <boost/asio/use_awaitable.hpp>
#include <stdexcept>

#include "kernel/channel.hpp"
#include "kernel/descriptors.hpp"
#include "worker/impl.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

std::string name_line(std::string_view name) {
  if (!kernel::can_name_descriptor(name))
    throw std::invalid_argument("'" + std::string(name) + "' is no name for a descriptor");
  return std::string(kernel::word::descriptor_name) + std::string(name);
}

}  // namespace

worker::worker(std::unique_ptr<impl> i) : impl_(std::move(i)) {}
worker::~worker() = default;

unsigned worker::slot() const noexcept { return impl_->boot.slot; }
std::uint64_t worker::generation() const noexcept { return impl_->boot.generation; }
const std::string& worker::pool() const noexcept { return impl_->boot.pool; }
asio::any_io_executor worker::executor() noexcept { return impl_->context.get_executor(); }
bool worker::draining() const noexcept { return impl_->draining; }
signal_dispatcher& worker::signals() noexcept { return impl_->dispatcher; }
void worker::ready() {
  if (!impl_->draining) impl_->enter(scoreboard::phase::serving);
  impl_->say(kernel::word::ready);
}

void worker::status(std::string_view text) {
  std::string line(text);
  std::ranges::replace(line, '\n', ' ');
  impl_->say(std::string(kernel::word::status) + line);
}

void worker::reloading() { impl_->say(kernel::word::reloading); }
void worker::store(std::string_view name, int descriptor, bool polled) {
  auto line = std::string(kernel::word::store) + '\n';
  if (!polled) line += std::string(kernel::word::unpolled) + '\n';
  impl_->say(line + name_line(name), kernel::duplicate(descriptor));
}
void worker::unstore(std::string_view name) {
  impl_->say(std::string(kernel::word::unstore) + '\n' + name_line(name));
}
std::optional<int> worker::stored(std::string_view name) {
  auto& all = impl_->stored;
  auto known = std::ranges::find(all, name, [](auto& each) { return each.first; });
  if (known == all.end()) return {};
  const int descriptor = known->second.release();
  all.erase(known);
  return descriptor;
}
void worker::heartbeat() { impl_->say(kernel::word::heartbeat); }
void worker::recycle() { impl_->say(kernel::word::recycle); }

worker::listener::listener(std::shared_ptr<state> s) : state_(std::move(s)) {}
const std::string& worker::listener::name() const noexcept { return state_->name; }

class worker::listener worker::listener(std::string_view name) {
  using state = listener::state;
  for (auto& known : impl_->listeners)
    if (known->name == name) return (class listener)(known);
  std::string there;
  for (auto& [known, fd] : impl_->boot.listeners) {
    if (known == name) {
      auto& all = impl_->boot.relays;
      auto ends = std::ranges::find(all, known, &relay::listener);
      impl_->listeners.push_back(
          std::make_shared<state>(impl_->context, known, fd, ends == all.end() ? nullptr : &*ends));
      return (class listener)(impl_->listeners.back());
    }
    there += (there.empty() ? "" : ", ") + known;
  }
  throw std::invalid_argument("no listener '" + std::string(name) + "'; " +
                              (there.empty() ? "this worker has none" : "there is " + there));
}

namespace {

asio::awaitable<void> run_then(asio::awaitable<void> task, asio::steady_timer& relief) {
  struct at_end {
    asio::steady_timer& timer;
    ~at_end() { timer.cancel(); }
  } guard{relief};
  co_await std::move(task);
}

}  // namespace

void worker::spawn(asio::awaitable<void> task) {
  impl_->tasks.spawn(run_then(std::move(task), impl_->relief_timer));
}

asio::awaitable<void> worker::stopping() {
  while (!impl_->draining) co_await impl_->told_to_stop.wait();
}

std::uint64_t worker::requests() const noexcept {
  return impl_->activity.requests.load(std::memory_order_relaxed);
}

}  // namespace supervisor
