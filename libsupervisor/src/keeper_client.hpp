// A master's end of the socket to its keeper.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <utility>

#include "keeper/keeper.hpp"
#include "keeper/wire.hpp"
#include "kernel/sockets.hpp"
#include "process/watched_fd.hpp"

namespace supervisor {

class keeper_client {
 public:
  /// Calls `gone` from the loop when the keeper has ended.
  keeper_client(boost::asio::any_io_executor executor, keeper_link link, std::function<void()> gone)
      : gone_(std::move(gone)),
        socket_(std::move(executor), std::move(link.socket), [this] { receive(); }) {}

  /// Closed when all is over; without room for it in the keeper, when this process ends.
  void hold(int descriptor) noexcept {
    keeper_wire::record order;
    std::string_view bytes(reinterpret_cast<const char*>(&order), sizeof order);
    kernel::send_packet(socket_.get(), bytes, {&descriptor, 1});
  }

 private:
  void receive() {
    keeper_wire::record said;
    kernel::unique_fd along;
    auto got = kernel::receive_record(socket_.get(), &said, sizeof said, along);
    if (got == kernel::received::end) gone_();
  }

  std::function<void()> gone_;
  watched_fd socket_;
};

}  // namespace supervisor
