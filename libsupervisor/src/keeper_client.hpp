// A master's end of the socket to its keeper.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "keeper/start.hpp"
#include "keeper/wire.hpp"
#include "process/descriptor_store.hpp"
#include "process/watched_fd.hpp"

namespace supervisor {

class keeper_client final : public descriptor_store {
 public:
  /// Waits for what another master has left. Throws std::runtime_error where it does not come.
  /// Where that one is still there, its state is given to `check` before: what that throws goes on.
  keeper_client(keeper_link, const std::function<void(kernel::unique_fd state)>& check);
  /// From the loop.
  struct observer {
    std::function<void()> gone;     ///< the keeper has ended
    std::function<void()> leave;    ///< another goes on from here
    std::function<void()> settled;  ///< enough is held for another to go on
    std::function<void(const keeper_wire::record&)> renewed;  ///< the keeper is, or is not
  };
  void watch(boost::asio::any_io_executor, observer);

  index hold(int descriptor) override { return hold_process(descriptor, 0); }
  index hold_process(int pidfd, pid_t) override;
  void drop(index) noexcept override;
  void keep_state(int memory, bool stops) override;
  kernel::unique_fd take(index) override;
  std::vector<leftover> take_rest() override;
  void on_end(teller) override;
  void upgrade(std::function<void(std::string)> failed) override;
  /// At one of keeper_wire::place.
  void hold_at(index, int descriptor) noexcept;

  /// How the master before this one ended, if there was one.
  const std::optional<keeper_wire::record>& predecessor() const noexcept { return predecessor_; }
  /// How the last upgrade went, if there was one.
  const std::optional<keeper_wire::record>& upgraded() const noexcept { return upgraded_; }
  /// How many it has reaped that no master has made.
  std::uint64_t strangers_reaped() const noexcept { return strangers_; }
  /// The end of this master is the end of all.
  void over() noexcept;

 private:
  struct inherited {
    pid_t pid = 0;
    kernel::unique_fd descriptor;
  };

  void inherit(const std::function<void(kernel::unique_fd)>& check);
  void answer_check(const std::function<void(kernel::unique_fd)>& check, kernel::unique_fd state);
  void receive();
  void heed(const keeper_wire::record&);
  void on_upgraded(const keeper_wire::record&);
  void tell_end(const keeper_wire::record&);
  void say_well() noexcept;
  void send(keeper_wire::kind) noexcept;
  void send(const keeper_wire::record&, int descriptor = -1) noexcept;

  kernel::unique_fd link_;
  watched_fd socket_;
  observer observer_;
  std::function<void(std::string)> upgrade_failed_;
  std::map<index, inherited> inherited_;
  std::vector<keeper_wire::record> ends_;  ///< told before anybody listened
  teller told_;
  std::optional<keeper_wire::record> predecessor_, upgraded_;
  std::uint64_t strangers_ = 0;
  bool settled_ = false;
  bool stuck_ = false;  ///< it did not read for too long
  std::vector<index> free_, dropped_;
  index next_ = keeper_wire::first_free;
};

}  // namespace supervisor
