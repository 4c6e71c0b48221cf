// A supervisor in a simulated world, for tests in virtual time.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

#include "simulation/invariants.hpp"
#include "simulation/simulated_host.hpp"
#include "simulation/virtual_loop.hpp"
#include "supervision/pool_keeper.hpp"
#include "supervisor/errc.hpp"
#include "supervisor/supervisor.hpp"

namespace test {

using namespace std::chrono_literals;

/// What a coroutine returned, once it has.
template <typename T>
using result = std::shared_ptr<std::optional<T>>;

class world {
 public:
  explicit world(std::uint64_t seed = 1)
      : host(seed), log([this] { return std::pair(host.now(), host.wall_now()); }) {
    recorder_ = log.subscribe([this](const supervisor::event& e) {
      promises.take_in(e);
      events.push_back(e);
      if (std::getenv("TEST_JOURNAL")) BOOST_TEST_MESSAGE(describe(e, host.now()));
    });
    boot();
  }
  ~world() { crash(); }
  world(const world&) = delete;

  void boot() {
    sup = std::make_unique<supervisor::supervisor>(host, log, "test");
    promises.watch(sup.get());
  }
  /// The supervisor is gone between two steps; the children live on.
  void crash() {
    promises.watch(nullptr);
    host.crash();
    sup.reset();
  }

  supervisor::pool web(unsigned size, supervisor::spec what = supervisor::spec("serve")) {
    return sup->pool("web", std::move(what), size);
  }
  const supervisor::pool_state& state(const std::string& name = "web") const {
    return keeper(name).state();
  }
  supervisor::pool_keeper& keeper(const std::string& name = "web") const {
    return sup->find_pool(name)->keeper();
  }

  template <typename T>
  result<T> begin(boost::asio::awaitable<T> work) {
    auto box = std::make_shared<std::optional<T>>();
    boost::asio::co_spawn(host.executor(), std::move(work),
                          [box](std::exception_ptr error, T value) {
                            if (error) std::rethrow_exception(error);
                            *box = std::move(value);
                          });
    return box;
  }
  template <typename T>
  T run(boost::asio::awaitable<T> work, supervisor::duration limit = 1h) {
    auto box = begin(std::move(work));
    BOOST_REQUIRE(host.run_until([&] { return box->has_value(); }, limit));
    return **box;
  }
  void run_void(boost::asio::awaitable<void> work) { run(returning(std::move(work))); }

  void settle(supervisor::pool p) { run(p.settled()); }
  unsigned count(supervisor::event_kind kind) const {
    unsigned n = 0;
    for (auto& e : events) n += e.kind == kind;
    return n;
  }
  const supervisor::event* last(supervisor::event_kind kind) const {
    for (auto it = events.rbegin(); it != events.rend(); ++it)
      if (it->kind == kind) return &*it;
    return nullptr;
  }
  void send(int number, int value = 0, std::uint64_t times = 1, int code = SI_USER) {
    supervisor::signal_event e;
    e.number = number;
    e.count = times;
    e.value = value;
    e.code = code;
    e.sender = code == SI_KERNEL ? 0 : 77;
    host.send_signal(e);
  }

  supervisor::simulated_host host;
  supervisor::invariants promises{host};
  supervisor::journal log;
  std::vector<supervisor::event> events;
  std::unique_ptr<supervisor::supervisor> sup;

 private:
  static boost::asio::awaitable<bool> returning(boost::asio::awaitable<void> work) {
    co_await std::move(work);
    co_return true;
  }
  std::shared_ptr<void> recorder_;
};

}  // namespace test
