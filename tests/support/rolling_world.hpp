// A pool of four that is rolled, and what is to hold of it.
#pragma once

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "supervision/decide.hpp"
#include "support/world.hpp"

namespace test {

using namespace supervisor;

using answer = result<outcome>;

/// Four workers that take a second to boot, and what a pool promises while it rolls.
struct rolling_world : world {
  rolling_world() {
    host.on_launch = [this](const launch_request& r) {
      script s;
      s.ready_after = 1s;
      s.drain_takes = 2s;
      if (r.generation > 1 && bad) bad(s, ++fresh);
      return s;
    };
    web = world::web(4);
    settle(*web);
  }

  /// Made of this generation, all of it, and no more.
  void check_all_are(std::uint64_t generation, unsigned count = 4) {
    BOOST_TEST((generations() == std::set<std::uint64_t>{generation}));
    BOOST_TEST(host.living().size() == count);
    BOOST_TEST(web->ready() == count);
    BOOST_TEST(web->status().generation == generation);
  }
  std::set<std::uint64_t> generations() const {
    std::set<std::uint64_t> all;
    for (auto id : host.living()) all.insert(host.request(id).generation);
    return all;
  }
  unsigned count_of(std::uint64_t generation) const {
    unsigned n = 0;
    for (auto id : host.living()) n += host.request(id).generation == generation;
    return n;
  }
  std::vector<child_id> of(std::uint64_t generation) const {
    std::vector<child_id> all;
    for (auto id : host.living())
      if (host.request(id).generation == generation) all.push_back(id);
    return all;
  }
  void await(const answer& a) {
    BOOST_REQUIRE(host.run_until([&] { return a->has_value(); }));
  }
  bool await_stage(const std::string& stage) {
    return host.run_until([&] { return stage_now() == stage; });
  }
  std::string stage_now() const {
    auto now = web->status().rollout;
    return now ? now->stage : "";
  }
  void check_failed(const answer& a, std::uint64_t generation, const std::string& why) {
    await(a);
    BOOST_TEST(((*a)->error == errc::rolled_back));
    BOOST_TEST((*a)->reason.find(why) != std::string::npos, (*a)->reason);
    check_all_are(generation);
    auto& last = state().history.back();
    BOOST_TEST((last.end == rollout_end::failed));
    BOOST_TEST(last.why == (*a)->reason);
  }

  /// Makes the n-th new worker a bad one.
  std::function<void(script&, unsigned n)> bad;
  unsigned fresh = 0;
  std::optional<::supervisor::pool> web;
};

/// How few were ready at any event, how many lived, how many were not to leave.
struct extremes {
  explicit extremes(rolling_world& w)
      : sink(w.log.subscribe([this, &w](const event&) {
          least = std::min(least, w.web->ready());
          living = std::max(living, w.host.living().size());
          auto stay = std::ranges::count(w.state().slots, exit_cause::none, &slot_state::retiring);
          most = std::max(most, static_cast<unsigned>(stay));
        })) {}
  unsigned least = 1000, most = 0;
  std::size_t living = 0;
  std::shared_ptr<void> sink;
};

inline void exits_at_boot(script& s) {
  s.ready_after.reset();
  s.exits_after = 10ms;
  s.exit_with = exit_status::exited(70);
}

inline boost::asio::awaitable<health_verdict> always(bool healthy) { co_return healthy; }

}  // namespace test
