// The part of a child that waits for signs of life: heartbeats, and lines of its output.
#include <boost/asio/post.hpp>

#include "process/child.hpp"

namespace supervisor {

namespace {

std::string name_of(const probe& what) {
  return what.how == probe::way::log_line ? what.target : std::string();
}

}  // namespace

void child::expect_signs() {
  auto expect = [&](const probe& p) {
    bool passive = p.how == probe::way::log_line || p.how == probe::way::heartbeat;
    if (passive) signs_.try_emplace(name_of(p));
  };
  if (what_->ready_probe) expect(*what_->ready_probe);
  for (auto& each : what_->liveness) expect(each);
}

void child::await_sign(const probe& what, std::function<void()> come) {
  auto name = name_of(what);
  auto& sign = signs_[name];
  sign.come = std::move(come);
  if (sign.given) tell_of_sign(name);
}

void child::forget_sign(const probe& what) noexcept {
  if (auto it = signs_.find(name_of(what)); it != signs_.end()) it->second.come = nullptr;
}

void child::on_line(std::string_view line) {
  for (auto& [name, sign] : signs_)
    if (!name.empty() && line.find(name) != line.npos) give(name);
}

void child::give(const std::string& name) {
  auto it = signs_.find(name);
  if (it == signs_.end()) return;
  it->second.given = true;
  if (it->second.come) tell_of_sign(name);
}

void child::tell_of_sign(const std::string& name) {
  boost::asio::post(services_.executor, [self = weak_from_this(), name] {
    auto alive = self.lock();
    if (!alive) return;
    auto& sign = alive->signs_[name];
    if (!sign.given || !sign.come) return;
    sign.given = false;
    std::exchange(sign.come, nullptr)();
  });
}

}  // namespace supervisor
