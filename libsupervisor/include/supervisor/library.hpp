// The library door: a supervisor inside a program that has its own loop, threads and signals.
#pragma once

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/async_result.hpp>
#include <functional>
#include <string>
#include <string_view>

#include "supervisor/journal.hpp"
#include "supervisor/supervisor.hpp"

namespace supervisor {

/// What a supervisor takes from, and does to, the program it lives in. The functions are called on
/// its executor and must not throw.
struct library_options {
  library_options() = default;

  std::string name = "supervisor";  ///< in its own messages
  /// Each event of the journal as a line. Without it, warnings and errors go to stderr.
  std::function<void(severity, std::string_view line)> log;
  /// Each line a worker writes, where its output goes to the log (output::to::log). Without it,
  /// only the last 4 KiB are kept, for the exit report.
  std::function<void(std::string_view pool, unsigned slot, bool is_stderr, std::string_view line)>
      on_line;
  /// The soft limit of descriptors of the whole program goes up to the hard one. Each worker costs
  /// six, or four where the limit is near.
  bool raise_descriptor_limit = false;
  /// The kernel kills a worker when the *thread* that started it ends (PR_SET_PDEATHSIG, prctl(2)).
  /// Right only where each thread that runs the io_context lives as long as the program.
  bool end_with_thread = false;
};

// What supervisor.hpp declares: only who calls from other threads needs to know how.

template <typename Token>
auto pool::async(command what, std::remove_reference_t<Token>& token) const {
  auto start = [](handler<outcome> h, const pool& self, command c) {
    self.ask(std::move(c), std::move(h));
  };
  return boost::asio::async_initiate<Token, void(outcome)>(start, token, *this, std::move(what));
}

template <boost::asio::completion_token_for<void(outcome)> Token>
auto pool::async_resize(unsigned count, Token&& token) const {
  return async<Token>([count](pool& self) { return self.resize(count); }, token);
}

template <boost::asio::completion_token_for<void(outcome)> Token>
auto pool::async_roll(Token&& token) const {
  return async<Token>([](pool& self) { return self.roll(); }, token);
}

template <boost::asio::completion_token_for<void(outcome)> Token>
auto pool::async_roll(spec next, Token&& token) const {
  return async<Token>([next = std::move(next)](pool& self) { return self.roll(next); }, token);
}

template <boost::asio::completion_token_for<void(outcome)> Token>
auto pool::async_roll(rollout_options how, Token&& token) const {
  return async<Token>([how = std::move(how)](pool& self) { return self.roll(how); }, token);
}

template <boost::asio::completion_token_for<void(outcome)> Token>
auto pool::async_roll(spec next, rollout_options how, Token&& token) const {
  return async<Token>(
      [next = std::move(next), how = std::move(how)](pool& self) { return self.roll(next, how); },
      token);
}

template <boost::asio::completion_token_for<void(outcome)> Token>
auto pool::async_pause_rollout(Token&& token) const {
  return async<Token>([](pool& self) { return self.pause_rollout(); }, token);
}

template <boost::asio::completion_token_for<void(outcome)> Token>
auto pool::async_resume_rollout(Token&& token) const {
  return async<Token>([](pool& self) { return self.resume_rollout(); }, token);
}

template <boost::asio::completion_token_for<void(outcome)> Token>
auto pool::async_abort_rollout(std::string why, Token&& token) const {
  return async<Token>([why = std::move(why)](pool& self) { return self.abort_rollout(why); },
                      token);
}

template <boost::asio::completion_token_for<void(outcome)> Token>
auto pool::async_undo(std::optional<std::uint64_t> generation, Token&& token) const {
  return async<Token>([generation](pool& self) { return self.undo(generation); }, token);
}

template <boost::asio::completion_token_for<void(outcome)> Token>
auto pool::async_restart(unsigned slot, Token&& token) const {
  return async<Token>([slot](pool& self) { return self.restart(slot); }, token);
}

template <boost::asio::completion_token_for<void(outcome)> Token>
auto pool::async_drain(Token&& token) const {
  return async<Token>([](pool& self) { return self.drain(); }, token);
}

template <boost::asio::completion_token_for<void(outcome)> Token>
auto pool::async_resume(Token&& token) const {
  return async<Token>([](pool& self) { return self.resume(); }, token);
}

template <boost::asio::completion_token_for<void(outcome)> Token>
auto pool::async_stop(bool quick, Token&& token) const {
  return async<Token>([quick](pool& self) { return self.stop(quick); }, token);
}

template <boost::asio::completion_token_for<void(outcome)> Token>
auto pool::async_settled(Token&& token) const {
  return async<Token>([](pool& self) { return self.settled(); }, token);
}

template <boost::asio::completion_token_for<void(boost::system::error_code)> Token>
auto pool::async_signal(unsigned slot, int number, Token&& token) const {
  auto start = [slot, number](handler<boost::system::error_code> h, const pool& self) {
    self.ask_signal(slot, number, std::move(h));
  };
  return boost::asio::async_initiate<Token, void(boost::system::error_code)>(start, token, *this);
}

template <boost::asio::completion_token_for<void(pool_status)> Token>
auto pool::async_status(Token&& token) const {
  auto start = [](handler<pool_status> h, const pool& self) { self.ask_status(std::move(h)); };
  return boost::asio::async_initiate<Token, void(pool_status)>(start, token, *this);
}

template <boost::asio::completion_token_for<void(boost::system::error_code)> Token>
auto supervisor::async_stop(bool quick, Token&& token) {
  auto start = [this, quick](handler<boost::system::error_code> h) {
    ask_stop(quick, std::move(h));
  };
  return boost::asio::async_initiate<Token, void(boost::system::error_code)>(start, token);
}

template <boost::asio::completion_token_for<void(std::exception_ptr, ::supervisor::pool)> Token>
auto supervisor::async_pool(std::string name, spec what, unsigned size, Token&& token) {
  auto start = [this, size](handler<std::exception_ptr, ::supervisor::pool> h, std::string n,
                            spec s) { ask_pool(std::move(n), std::move(s), size, std::move(h)); };
  return boost::asio::async_initiate<Token, void(std::exception_ptr, ::supervisor::pool)>(
      start, token, std::move(name), std::move(what));
}

template <boost::asio::completion_token_for<void(std::exception_ptr, listener_spec)> Token>
auto supervisor::async_listen(listener_spec wanted, Token&& token) {
  auto start = [this](handler<std::exception_ptr, listener_spec> h, listener_spec l) {
    ask_listen(std::move(l), std::move(h));
  };
  return boost::asio::async_initiate<Token, void(std::exception_ptr, listener_spec)>(
      start, token, std::move(wanted));
}

template <boost::asio::completion_token_for<void(std::vector<pool_status>)> Token>
auto supervisor::async_status(Token&& token) {
  auto start = [this](handler<std::vector<pool_status>> h) { ask_status(std::move(h)); };
  return boost::asio::async_initiate<Token, void(std::vector<pool_status>)>(start, token);
}

}  // namespace supervisor
