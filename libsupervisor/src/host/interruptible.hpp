// An operation that others than its caller may cancel.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <exception>
#include <memory>
#include <string>

namespace supervisor {

/// What an awaited operation throws when its coroutine is cancelled.
inline bool is_cancellation(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const boost::system::system_error& e) {
    return e.code() == boost::asio::error::operation_aborted;
  } catch (...) {
    return false;
  }
}

/// What an exception says, for people.
std::string words_of(const std::exception_ptr&);

/// One operation at a time, always awaited to its end. Used on one executor only.
class interruptible {
 public:
  interruptible();

  /// Runs `operation`. What cancels the caller cancels it, of whatever type; whether and how it
  /// ends then is its own affair.
  boost::asio::awaitable<void> run(boost::asio::awaitable<void> operation);
  /// Terminal cancellation of what runs. False where the caller has cancelled it before.
  bool interrupt();

 private:
  struct state;
  std::shared_ptr<state> state_;
};

/// What a coroutine that is given to co_spawn is wrapped in.
/// co_spawn awaits once more after one that never suspended, outside its own try block: with a
/// cancellation pending that would throw out of the loop instead of completing.
boost::asio::awaitable<void> shielded_end(boost::asio::awaitable<void> task);

}  // namespace supervisor
