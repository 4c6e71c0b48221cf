// A worker that tells who it is.
#pragma once

#include <unistd.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/write.hpp>
#include <string>

#include "supervisor/worker.hpp"

namespace test {

/// Answers each connection with its process id and closes it.
inline boost::asio::awaitable<void> serve_pid(supervisor::worker& self) {
  auto listener = self.listener();
  self.ready();
  const std::string answer = std::to_string(getpid());
  for (;;) {
    auto accepted = co_await self.accept(listener);
    if (!accepted) co_return;
    boost::system::error_code ignored;
    boost::asio::write(*accepted, boost::asio::buffer(answer), ignored);
  }
}

}  // namespace test
