// A program that has its own io_context, run by several threads, and supervisors inside it.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "supervisor/library.hpp"
#include "support/leftovers.hpp"

namespace test {

using namespace std::chrono_literals;
using boost::asio::use_future;

/// What supervisors log, on whatever threads.
class log_book {
 public:
  void write(std::string_view line) {
    std::lock_guard lock(mutex_);
    lines_.emplace_back(line);
    changed_.notify_all();
  }
  /// False when no line with all of `parts` is there within 30 s.
  bool await(const std::vector<std::string>& parts, unsigned times = 1) {
    std::unique_lock lock(mutex_);
    return changed_.wait_until(lock, std::chrono::steady_clock::now() + 30s, [&] {
      unsigned found = 0;
      for (auto& line : lines_) found += has(line, parts);
      return found >= times;
    });
  }
  unsigned count(const std::vector<std::string>& parts) {
    std::lock_guard lock(mutex_);
    unsigned found = 0;
    for (auto& line : lines_) found += has(line, parts);
    return found;
  }

 private:
  static bool has(const std::string& line, const std::vector<std::string>& parts) {
    for (auto& part : parts)
      if (line.find(part) == line.npos) return false;
    return true;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_;
};

/// The value, which comes within 30 s. For any thread: Boost.Test is for the main one only.
template <typename T>
T get(std::future<T> future) {
  if (future.wait_for(30s) != std::future_status::ready)
    throw std::runtime_error("no answer within 30 s");
  return future.get();
}

/// The words of the exception that `start`'s handler is called with; they are taken out where it is
/// called, because ThreadSanitizer does not see how an exception is shared between threads: that is
/// counted within libstdc++.
template <typename Start>
std::string fault(Start start) {
  std::promise<std::string> told;
  start([&told](std::exception_ptr error, auto&&) {
    std::string words = "none";
    try {
      if (error) std::rethrow_exception(error);
    } catch (const std::exception& e) {
      words = e.what();
    }
    error = nullptr;
    told.set_value(std::move(words));
  });
  return get(told.get_future());
}

/// The error code that `start`'s handler is called with; use_future would throw it.
template <typename Start>
std::future<boost::system::error_code> code(Start start) {
  auto told = std::make_shared<std::promise<boost::system::error_code>>();
  auto future = told->get_future();
  start([told](boost::system::error_code error) { told->set_value(error); });
  return future;
}

/// A worker that starts, is ready and is replaced quickly, however often it dies.
inline supervisor::spec worker(std::vector<std::string> actions = {"sleep"}) {
  auto what = supervisor::spec::command(TEST_CHILD, std::move(actions));
  what.ready = supervisor::readiness::alive;
  what.alive_for = 1ms;
  what.restart.base = 1ms;
  what.restart.cap = 5ms;
  return what;
}

struct host_program : leftovers {
  ~host_program() { join(); }

  /// Lets `count` more threads run the io_context.
  void run(unsigned count = 4) {
    if (!work) work.emplace(context.get_executor());
    context.restart();
    for (unsigned i = 0; i < count; ++i) threads.emplace_back([this] { context.run(); });
  }
  /// Lets them end, once nothing is left to do.
  void join() {
    work.reset();
    for (auto& thread : threads) thread.join();
    threads.clear();
  }

  supervisor::library_options options(std::string name = "door") {
    supervisor::library_options o;
    o.name = name;
    o.log = [this, name](supervisor::severity, std::string_view line) {
      book.write(name + ": " + std::string(line));
    };
    return o;
  }

  using guard = boost::asio::executor_work_guard<boost::asio::io_context::executor_type>;

  log_book book;
  boost::asio::io_context context;
  std::optional<guard> work;
  std::vector<std::thread> threads;
};

inline pid_t only_pid(const supervisor::pool_status& status) {
  BOOST_REQUIRE(status.slots.size() == 1u);
  return status.slots.front().pid;
}

}  // namespace test
