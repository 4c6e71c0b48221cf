// A worker's life beside the user's function: signals, the supervisor's words, the end.
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>

#include "kernel/channel.hpp"
#include "kernel/sockets.hpp"
#include "supervisor/supervisor.hpp"
#include "worker/impl.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

constexpr int software_error = 70;  // EX_SOFTWARE

std::string words_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

void complain(const char* who, const std::exception_ptr& error) {
  std::fprintf(stderr, "%s: %s\n", who, words_of(error).c_str());
}

/// This worker's; one of its own where the supervisor shares none. Connections may outlive all
/// else.
kernel::activity& own_cell(const worker_boot& boot) {
  static kernel::activity alone;
  return boot.cells.empty() ? alone : boot.cells[boot.cell];
}

}  // namespace

worker::impl::impl(asio::io_context& c, worker_boot b)
    : context(c),
      boot(std::move(b)),
      activity(own_cell(boot)),
      channel(c),
      told_to_stop(c.get_executor()),
      tasks(c.get_executor(), [](std::exception_ptr error) { complain("worker task", error); }),
      relief_timer(c),
      feed(kernel_signals(c.get_executor())),
      dispatcher(c.get_executor(), *feed) {}

void worker::impl::drain() {
  if (std::exchange(draining, true)) return;
  told_at = std::chrono::steady_clock::now();
  activity.share = kernel::activity::none;
  enter(scoreboard::phase::draining);
  say(kernel::word::stopping);
  told_to_stop.notify();
  for (auto& listener : listeners) listener->close_line();
  relief_timer.cancel();
  stir_idle();
}

void worker::impl::enter(scoreboard::phase next) noexcept {
  activity.phase.store(static_cast<std::uint32_t>(next), std::memory_order_relaxed);
}

void worker::impl::leave_now() {
  leaving_now = true;
  drain();
  enter(scoreboard::phase::leaving);
  tasks.cancel();
}

void worker::impl::say(std::string_view word, kernel::unique_fd along) {
  if (!channel.is_open()) return;
  // Of a status only the last is of interest: who tells many must not fill our memory with them
  // while the supervisor is stopped.
  auto is_status = [](std::string_view any) { return any.starts_with(kernel::word::status); };
  if (!unsent.empty() && is_status(word) && is_status(unsent.back().word)) {
    unsent.back().word = word;
    return;
  }
  unsent.push_back({std::string(word), std::move(along)});
  if (unsent.size() == 1) send_unsent();
}

void worker::impl::send_unsent() {
  while (!unsent.empty()) {
    auto& [word, along] = unsent.front();
    const int fd = along.get();
    const std::span<const int> descriptors(&fd, along ? 1u : 0u);
    const int error = kernel::send_packet(channel.native_handle(), word, descriptors, MSG_DONTWAIT);
    if (error == EAGAIN) {
      channel.async_wait(asio::posix::stream_descriptor::wait_write,
                         [this](boost::system::error_code failed) {
                           if (!failed) send_unsent();
                         });
      return;
    }
    unsent.pop_front();  // any other error: the supervisor is gone, which reading tells
  }
}

void worker::impl::listen_to_supervisor() {
  channel.async_wait(asio::posix::stream_descriptor::wait_read,
                     [this](boost::system::error_code failed) {
                       if (!failed) obey();
                     });
}

void worker::impl::obey() {
  if (read_words())
    listen_to_supervisor();
  else
    leave_now();
}

void worker::impl::take_stored(std::string_view names, kernel::packet& p) {
  if (p.cut) std::fputs("worker: no room for all descriptors that were stored\n", stderr);
  for (auto& file : p.descriptors) {
    const auto end = names.find(':');
    stored.emplace_back(names.substr(0, end), std::move(file));
    names.remove_prefix(end == names.npos ? names.size() : end + 1);
  }
}

bool worker::impl::read_words() {
  kernel::packet p;
  for (;;) {
    const auto got = kernel::receive_packet(channel.native_handle(), p, MSG_DONTWAIT);
    if (got == kernel::received::nothing) return true;
    if (got == kernel::received::end) return false;
    if (p.data == kernel::word::ping) say(kernel::word::alive);
    if (p.data.starts_with(kernel::word::leave))
      take_terms(std::string_view(p.data).substr(kernel::word::leave.size()));
    if (p.data.starts_with(kernel::word::stored))
      take_stored(std::string_view(p.data).substr(kernel::word::stored.size()), p);
    if (p.data == kernel::word::poke)
      for (auto& listener : listeners) listener->wake();
  }
}

void worker::impl::catch_signals() {
  // INT comes from a terminal and is the supervisor's to answer; USR1 (reopen logs) is passed on to
  // every worker, also to one that has nothing to reopen.
  ::signal(SIGINT, SIG_IGN);
  ::signal(SIGUSR1, SIG_IGN);
  auto on_term = [this](signal_event) -> asio::awaitable<void> {
    if (channel.is_open()) read_words();  // that came before the signal; an end is obey()'s to find
    drain();
    co_return;
  };
  auto on_quit = [this](signal_event) -> asio::awaitable<void> {
    leave_now();
    co_return;
  };
  handlers.push_back(dispatcher.on(SIGTERM, on_term));
  handlers.push_back(dispatcher.on(SIGQUIT, on_quit));
}

int worker::impl::fail(const char* who) {
  auto error = std::current_exception();
  complain(who, error);
  activity.failure.write(words_of(error));
  leave_now();
  return software_error;
}

namespace {

asio::awaitable<void> serve(worker& self, worker::impl& own, const worker_function& function,
                            int& code) {
  try {
    code = co_await function.serve(self);
  } catch (...) {
    if (!own.leaving_now) code = own.fail("worker function");
  }
  own.drain();
}

asio::awaitable<void> live(worker& self, worker::impl& own, const worker_function& function,
                           int& code) {
  bool born = true;
  try {
    if (function.on_clone) function.on_clone(self);
  } catch (...) {
    code = own.fail("after_clone");
    born = false;
  }
  if (born) own.tasks.spawn(serve(self, own, function, code));
  co_await own.tasks.join();
  own.enter(scoreboard::phase::leaving);
  try {
    if (function.on_exit) function.on_exit(self);
  } catch (...) {
    complain("before_exit", std::current_exception());
  }
  co_await own.dispatcher.close();
}

asio::awaitable<int> exit_with_zero(const worker_function::coroutine_of_nothing& serve,
                                    worker& self) {
  co_await serve(self);
  co_return 0;
}

void run_loop(asio::io_context& context) {
  try {
    context.run();
  } catch (...) {
    // The process ends here: coroutines that are suspended refer to what unwinding would destroy.
    complain("worker", std::current_exception());
    std::fflush(nullptr);
    _exit(software_error);
  }
}

}  // namespace

worker_function::worker_function(std::string n, coroutine_of_nothing f)
    : name(std::move(n)), serve([f = std::move(f)](worker& self) {
        return exit_with_zero(f, self);  // which lives as long as the process
      }) {}

int run_worker(worker_boot boot, const worker_function& function) {
  int code = 0;
  try {
    asio::io_context context(1);
    auto made = std::make_unique<worker::impl>(context, std::move(boot));
    auto& own = *made;
    worker self(std::move(made));
    own.catch_signals();
    if (own.boot.channel) {
      own.channel.assign(own.boot.channel.release());
      own.read_words();  // what was stored is there already
      own.listen_to_supervisor();
    }
    auto ended = [&context](std::exception_ptr error) {
      context.stop();
      if (error) std::rethrow_exception(error);
    };
    asio::co_spawn(context, live(self, own, function, code), ended);
    run_loop(context);
  } catch (...) {
    complain("worker", std::current_exception());
    return software_error;
  }
  return code;
}

}  // namespace supervisor
