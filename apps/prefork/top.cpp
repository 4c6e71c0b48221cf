#include "top.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <csignal>

#include "client.hpp"
#include "render.hpp"
#include "supervisor/errc.hpp"
#include "terminal.hpp"
#include "top_screen.hpp"

namespace app {

namespace {

namespace asio = boost::asio;
namespace json = boost::json;
namespace exit_code = supervisor::exit_code;
using clock = std::chrono::steady_clock;
using error_code = boost::system::error_code;

constexpr auto patience = std::chrono::seconds(10);

/// One loop: the terminal, the master, a clock.
class viewer {
 public:
  explicit viewer(const control_request& what) : what_(what) {
    signals_.add(SIGHUP);
    signals_.add(SIGQUIT);
    signals_.add(SIGWINCH);
    signals_.add(SIGTSTP);
  }

  int run() {
    ask_for_status();
    context_.run();
    screen_on_.leave();
    if (!farewell_.empty()) fmt::print(stderr, "prefork: {}\n", farewell_);
    return code_;
  }

 private:
  void ask_for_status();
  void take_in(const answer&);
  void begin();
  void wait_for_turn();
  void wait_for_key();
  void wait_for_signal();
  void lose_terminal();
  void act(top_key);
  void order(const char* target, json::object body, std::string words);
  void draw() {
    auto [lines, columns] = screen_on_.size();
    screen_on_.draw(render_top(screen_, lines, columns));
  }
  void quit(int code, std::string words = {}) {
    code_ = code;
    farewell_ = std::move(words);
    context_.stop();
  }

  const control_request& what_;
  asio::io_context context_{1};
  terminal screen_on_{context_.get_executor()};
  asio::signal_set signals_{context_, SIGINT, SIGTERM};
  asio::steady_timer turn_{context_};
  top_screen screen_;
  json::object last_;
  clock::time_point asked_{}, answered_{};
  std::string typed_;
  bool begun_ = false;
  int code_ = exit_code::ok;
  std::string farewell_;
};

void viewer::ask_for_status() {
  asked_ = clock::now();
  ask_soon(context_, what_.control, what_.name, "/status", "", patience,
           [this](const answer& got, const std::optional<no_answer>& failure) {
             // A master that is slow, or about to end, is asked again.
             bool passing = failure && (failure->code == exit_code::timed_out ||
                                        failure->code == exit_code::unreachable);
             if (failure && !(begun_ && passing)) return quit(failure->code, failure->what());
             if (failure)
               screen_.message = failure->what();
             else
               take_in(got);
             if (!std::exchange(begun_, true)) begin();
             draw();
             wait_for_turn();
           });
}

void viewer::take_in(const answer& got) {
  error_code error;
  auto value = json::parse(got.body, error);
  if (error || !value.is_object() || got.status != 200) {
    screen_.message = "the answer is not a master's status: " + got.body;
    return;
  }
  auto now = clock::now();
  std::chrono::duration<double> between = now - answered_;
  update(screen_, value.get_object(), last_, between.count());
  last_ = std::move(value.get_object());
  answered_ = now;
}

void viewer::begin() {
  screen_on_.enter();
  wait_for_key();
  wait_for_signal();
}

void viewer::wait_for_turn() {
  turn_.expires_at(asked_ + what_.period);
  turn_.async_wait([this](error_code error) {
    if (!error) ask_for_status();
  });
}

void viewer::wait_for_key() {
  screen_on_.descriptor().async_wait(
      asio::posix::stream_descriptor::wait_read, [this](error_code error) {
        if (error == asio::error::operation_aborted) return wait_for_key();  // back from a ^Z
        auto keys = screen_on_.typed();
        if (error || keys.empty()) return lose_terminal();
        typed_ += keys;
        for (auto key = next_key(typed_); key != top_key::none; key = next_key(typed_)) act(key);
        draw();
        wait_for_key();
      });
}

/// Its HUP may come when our handlers are gone, and is not to end us then: the exit code is ours.
void viewer::lose_terminal() {
  sigset_t late;
  ::sigemptyset(&late);
  ::sigaddset(&late, SIGHUP);
  ::pthread_sigmask(SIG_BLOCK, &late, nullptr);
  quit(128 + SIGHUP);
}

void viewer::wait_for_signal() {
  signals_.async_wait([this](error_code error, int number) {
    if (error) return;
    if (number == SIGTSTP) {
      screen_on_.leave();
      ::raise(SIGSTOP);  // until the shell brings us back
      screen_on_.enter();
    } else if (number != SIGWINCH) {
      return quit(number == SIGINT ? exit_code::ok : 128 + number);
    }
    draw();
    wait_for_signal();
  });
}

void viewer::order(const char* target, json::object body, std::string words) {
  body["why"] = "prefork top";
  screen_.message = words + " ...";
  ask_soon(context_, what_.control, what_.name, target, json::serialize(body), std::nullopt,
           [this, words](const answer& got, const std::optional<no_answer>& failure) {
             if (failure) {
               screen_.message = failure->what();
             } else {
               error_code error;
               auto value = json::parse(got.body, error);
               auto reason = !error && value.is_object() ? text_in(value.get_object(), "reason")
                                                         : std::string();
               screen_.message = words + (reason.empty() ? ": done" : ": " + reason);
             }
             draw();
           });
}

void viewer::act(top_key key) {
  auto& rows = screen_.rows;
  auto& selected = screen_.selected;
  const auto* row = selected < rows.size() ? &rows[selected] : nullptr;
  json::object body;
  if (row) body["pool"] = row->pool;
  switch (key) {
    case top_key::quit:
      return quit(exit_code::ok);
    case top_key::up:
      if (selected > 0) --selected;
      break;
    case top_key::down:
      if (selected + 1 < rows.size()) ++selected;
      break;
    case top_key::sort:
      sort_by(screen_, next(screen_.order));
      break;
    case top_key::more:
    case top_key::fewer: {
      bool more = key == top_key::more;
      body["delta"] = more ? 1 : -1;
      return order("/scale", std::move(body), more ? "one worker more" : "one worker fewer");
    }
    case top_key::restart:
      if (!row) return;
      body["slot"] = row->slot;
      return order("/restart", std::move(body), fmt::format("restart of slot {}", row->slot));
    case top_key::redraw:
    case top_key::none:
      break;
  }
  screen_.message.clear();
}

}  // namespace

int top(const control_request& what) {
  try {
    return viewer(what).run();
  } catch (const no_answer& failure) {
    fmt::print(stderr, "prefork: {}\n", failure.what());
    return failure.code;
  } catch (const std::runtime_error& failure) {
    fmt::print(stderr, "prefork: {}\n", failure.what());
    return exit_code::usage;
  }
}

}  // namespace app
