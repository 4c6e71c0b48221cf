// Clients that never pause.
#pragma once

#include <atomic>
#include <string>
#include <thread>

#include "support/app.hpp"

namespace test {

/// Asks for a path without a pause, one connection after the other, until it is stopped.
class load {
 public:
  explicit load(unsigned port, std::string path = "/pid")
      : path_(std::move(path)), thread_([this, port] { run(port); }) {}
  ~load() { stop(); }
  void stop() {
    stopped_ = true;
    if (thread_.joinable()) thread_.join();
  }
  unsigned answered = 0;
  strings failures;

 private:
  void run(unsigned port) {
    while (!stopped_) {
      auto got = get(port, path_);
      if (got.status == 200)
        ++answered;
      else
        failures.push_back(std::to_string(got.status) + ' ' + got.body);
    }
  }
  const std::string path_;
  std::atomic<bool> stopped_ = false;
  std::thread thread_;
};

}  // namespace test
