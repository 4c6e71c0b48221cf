// A master's end of the socket to its keeper.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "keeper/start.hpp"
#include "keeper/wire.hpp"
#include "process/descriptor_store.hpp"
#include "process/watched_fd.hpp"

namespace supervisor {

class keeper_client final : public descriptor_store {
 public:
  /// Waits for what another master has left. Throws std::runtime_error where it does not come.
  explicit keeper_client(keeper_link);
  /// Calls `gone` from the loop when the keeper has ended.
  void watch(boost::asio::any_io_executor, std::function<void()> gone);

  index hold(int descriptor) override { return hold_process(descriptor, 0); }
  index hold_process(int pidfd, pid_t) override;
  void drop(index) noexcept override;
  void keep_state(int memory, bool stops) override;
  kernel::unique_fd take(index) override;
  std::vector<leftover> take_rest() override;
  void on_end(teller) override;
  /// At one of keeper_wire::place.
  void hold_at(index, int descriptor) noexcept;

  /// How the master before this one ended, if there was one.
  const std::optional<keeper_wire::record>& predecessor() const noexcept { return predecessor_; }
  /// The end of this master is the end of all.
  void over() noexcept;

 private:
  struct inherited {
    pid_t pid = 0;
    kernel::unique_fd descriptor;
  };

  void inherit();
  void receive();
  void tell_end(const keeper_wire::record&);
  void send(const keeper_wire::record&, int descriptor = -1) noexcept;

  kernel::unique_fd link_;
  watched_fd socket_;
  std::function<void()> gone_;
  std::map<index, inherited> inherited_;
  std::vector<keeper_wire::record> ends_;  ///< told before anybody listened
  teller told_;
  std::optional<keeper_wire::record> predecessor_;
  bool settled_ = false;
  bool stuck_ = false;  ///< it did not read for too long
  std::vector<index> free_, dropped_;
  index next_ = keeper_wire::first_free;
};

}  // namespace supervisor
