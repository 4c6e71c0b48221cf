#include "supervision/live.hpp"

#include <csignal>

#include "host/interruptible.hpp"
#include "supervisor/errc.hpp"
#include "supervisor/journal.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

asio::awaitable<void> take_decision(supervisor& self, const policy& decide, int& code) {
  code = co_await decide(self);
}

}  // namespace

asio::awaitable<int> live(supervisor& self, policy decide, failure_teller tell) {
  interruptible deciding;
  int interrupted = 0;
  self.on_interrupt([&](const signal_event& signal) {
    self.note(signal_name(signal.number) + ", which the policy neither handles nor waits for: " +
              (interrupted ? "killing what is left" : "cancelling the policy"));
    interrupted = signal.number;
    deciding.interrupt();
  });
  int code = exit_code::failed;
  std::exception_ptr failure;
  try {
    co_await deciding.run(take_decision(self, decide, code));
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure && interrupted && is_cancellation(failure))
    code = exit_code::signalled + interrupted;
  else if (failure)
    code = tell("the policy failed", failure);
  failure = nullptr;
  try {
    co_await self.stop_all(interrupted == SIGQUIT);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) code = tell("not everything was stopped", failure);

  event stopped(event_kind::supervisor_stopped);
  stopped.count = code;
  self.log().record(std::move(stopped));
  co_return code;
}

}  // namespace supervisor
