// Children of a group that do what a test tells them, as processes or as coroutines.
#pragma once

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "supervisor/condition.hpp"
#include "supervisor/group.hpp"
#include "support/world.hpp"

namespace test {

using words = std::vector<std::string>;

inline words split(const std::string& text, char by = ' ') {
  words all;
  std::istringstream in(text);
  for (std::string one; std::getline(in, one, by);)
    if (!one.empty()) all.push_back(one);
  return all;
}

/// Children that do what they are told, of either kind.
class stage : public world {
 public:
  explicit stage(supervisor::child_spec::kind k) : kind_(k), told_(host) {
    host.on_launch = [this](auto& request) {
      supervisor::script s;
      if (!fails(request.key.pool)) return s;
      s.ready_after.reset();
      s.exits_after = 1ms;
      s.exit_with = supervisor::exit_status::exited(70);
      return s;
    };
    tracer_ = log.subscribe([this](const supervisor::event& e) { trace(e); });
  }

  /// "a:p": permanent, "b:t": transient, "c:y": temporary, "c:y!": significant.
  supervisor::child_spec child(const std::string& text) {
    auto name = text.substr(0, text.find(':'));
    auto made =
        kind_ == supervisor::child_spec::kind::process
            ? supervisor::child_spec::process(name, supervisor::spec("serve"))
            : supervisor::child_spec::coroutine(
                  name, [this, name](supervisor::group_child& self) { return play(name, self); });
    if (text.find('t', name.size()) != text.npos) made.transient();
    if (text.find('y', name.size()) != text.npos) made.temporary();
    if (text.back() == '!') made.significant();
    return made;
  }
  supervisor::group_spec& add(supervisor::group_spec& to, const std::string& children) {
    for (auto& text : split(children)) to.child(child(text));
    return to;
  }

  ::supervisor::group open(supervisor::group_spec what, const std::string& name = "app") {
    auto group = sup->group(name, std::move(what));
    host.run_for(1s);
    return group;
  }
  void fail_next(const std::string& name, int times) { failing_[name] = times; }

  /// It ends by itself.
  void end(const std::string& name, supervisor::ending how) {
    if (kind_ == supervisor::child_spec::kind::coroutine) {
      if (playing_->contains(name)) orders_[name] = how;
      told_.notify();
    } else {
      const int signals[] = {SIGTERM, SIGHUP, SIGSEGV};
      for (auto id : host.living())
        if (host.request(id).key.pool == name)
          host.kill(id, signals[static_cast<std::size_t>(how)]);
    }
    host.poll();
  }

  /// "-c +b": told to leave, told to start; "!" and "." around the end of a group.
  std::string take_trace() { return std::exchange(traced_, {}); }

 private:
  bool fails(const std::string& name) {
    auto known = failing_.find(name);
    return known != failing_.end() && known->second != 0 && known->second-- != 0;
  }

  boost::asio::awaitable<void> play(std::string name, supervisor::group_child& self) {
    if (fails(name)) throw std::runtime_error("no start");
    self.ready();
    orders_.erase(name);
    playing_->insert(name);
    std::shared_ptr<void> exit(nullptr, [all = playing_, name](void*) { all->erase(name); });
    while (!orders_.contains(name)) co_await told_.wait();
    auto how = orders_.extract(name).mapped();
    if (how == supervisor::ending::abnormal) throw std::runtime_error("oh");
    if (how == supervisor::ending::shutdown)
      throw boost::system::system_error(boost::asio::error::operation_aborted);
  }

  void trace(const supervisor::event& e) {
    auto add = [&](const std::string& what) { traced_ += (traced_.empty() ? "" : " ") + what; };
    if (e.kind == supervisor::event_kind::member_starting) add("+" + e.member);
    if (e.kind == supervisor::event_kind::member_stopping) add("-" + e.member);
    if (e.kind == supervisor::event_kind::group_stopping) add("!");
    if (e.kind == supervisor::event_kind::group_stopped) add(".");
  }

  supervisor::child_spec::kind kind_;
  /// Theirs too: at the end of the world coroutines outlive the stage.
  std::shared_ptr<std::set<std::string>> playing_ = std::make_shared<std::set<std::string>>();
  supervisor::condition told_;
  std::map<std::string, supervisor::ending> orders_;
  std::map<std::string, int> failing_;
  std::string traced_;
  std::shared_ptr<void> tracer_;
};

inline constexpr supervisor::child_spec::kind kinds[] = {supervisor::child_spec::kind::process,
                                                         supervisor::child_spec::kind::coroutine};

}  // namespace test
