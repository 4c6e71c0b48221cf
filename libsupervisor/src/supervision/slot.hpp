// One slot's life, as one coroutine.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>

#include "host/host.hpp"
#include "supervision/state.hpp"
#include "supervisor/condition.hpp"

namespace supervisor {

class pool_keeper;

/// Keeps one worker for one slot_state, whatever that state says at the beginning: it looks for
/// the child the state names, and goes on from there. After each wake it reads what is so now, and
/// never relies on what woke it.
class slot : public std::enable_shared_from_this<slot> {
 public:
  slot(pool_keeper&, const slot_state&);

  /// Until the slot is gone. Its own pool's task group runs it.
  boost::asio::awaitable<void> run();
  /// Something has changed: its child, or what its pool wants of it.
  void wake() noexcept { wakeup_.notify(); }
  /// An event of this slot, caused by the one before.
  event about_me(event_kind) const;

 private:
  boost::asio::awaitable<void> rest();
  boost::asio::awaitable<void> wait_for_turn();
  boost::asio::awaitable<void> wait_for_pid();
  boost::asio::awaitable<void> wait_for_ready();
  boost::asio::awaitable<void> serve();
  boost::asio::awaitable<void> leave();

  void find_child();
  void launch();
  void begin_stop(exit_cause why);
  void take_stop_step(event_kind, exit_cause why, unsigned step);
  /// Tells the worker how it may leave, where that is news.
  void tell_terms();
  /// Gives it the time it asks for, if it is to have it.
  bool extend();
  void record_look(const probe&, const health&, const probe_result&);
  /// Acts on the death of the child, if it is dead.
  bool buried();
  void record_exit(const child_view* seen);

  /// What its worker does, or did last: the request that tells why it ends.
  std::string work(exit_cause why) const;
  std::string last_words(exit_cause why) const;

  bool retires() const noexcept { return me_.retiring != exit_cause::none; }
  const child_view* seen() const;
  const spec& what() const;
  host::observer waker();

  pool_keeper& pool_;
  const slot_state& me_;  ///< an entry of the pool's state; its place in memory is stable
  child_id child_ = 0;    ///< 0: the host has none for us
  std::optional<leave_terms> told_;  ///< this child
  condition wakeup_;
};

}  // namespace supervisor
