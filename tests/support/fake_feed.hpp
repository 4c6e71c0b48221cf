// A signal feed that a test fills by hand.
#pragma once

#include <boost/system/system_error.hpp>
#include <boost/test/unit_test.hpp>
#include <set>
#include <utility>

#include "supervisor/signals.hpp"

namespace test {

struct fake_feed final : supervisor::signal_feed {
  void watch(int number) override {
    BOOST_TEST(watched.insert(number).second);
    if (number == SIGKILL)
      throw boost::system::system_error(EINVAL, boost::system::system_category());
  }
  void unwatch(int number) override { BOOST_TEST(watched.erase(number) == 1u); }
  std::vector<supervisor::signal_event> take() override { return std::exchange(pending, {}); }
  void on_ready(std::function<void()> f) override { ready = std::move(f); }

  std::set<int> watched;
  std::vector<supervisor::signal_event> pending;
  std::function<void()> ready;
};

}  // namespace test
