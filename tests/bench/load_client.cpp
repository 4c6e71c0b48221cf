#include "bench/load_client.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cerrno>
#include <deque>
#include <exception>
#include <list>
#include <optional>
#include <thread>

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::awaitable;
using asio::ip::tcp;
using boost::system::error_code;

namespace bench {

namespace {

using clock = std::chrono::steady_clock;

enum class step { connecting, asking, reading };

bool is_right(const http::response<http::string_body>& answer) {
  auto& body = answer.body();
  return answer.result() == http::status::ok && body.size() > 1 && body.back() == '\n' &&
         body.find_first_not_of("0123456789") == body.size() - 1;
}

/// The field that counts it; null: it is the client's own trouble.
std::uint64_t tally::* classify(step at, const error_code& error) {
  namespace e = asio::error;
  if (error == e::connection_reset || error == e::broken_pipe) return &tally::reset;
  if (error == http::error::end_of_stream) return &tally::closed_early;
  if (error == http::error::partial_message) return &tally::truncated;
  if (at == step::connecting) return error == e::connection_refused ? &tally::refused : nullptr;
  return at == step::reading ? &tally::wrong : nullptr;
}

}  // namespace

double tally::percentile(double share) {
  if (latencies.empty()) return 0;
  std::ranges::sort(latencies);
  auto last = latencies.size() - 1;
  return latencies[std::min(last, static_cast<std::size_t>(share * latencies.size()))] / 1000.0;
}

std::string tally::failures() const {
  std::string text;
  auto add = [&](std::uint64_t n, const char* what) {
    if (n) text += (text.empty() ? "" : ", ") + std::to_string(n) + ' ' + what;
  };
  add(refused, "refused");
  add(reset, "reset");
  add(closed_early, "closed early");
  add(truncated, "truncated");
  add(timed_out, "timed out");
  add(wrong, "wrong");
  return text;
}

struct load::impl {
  /// One connection at a time, and who uses it.
  struct client {
    explicit client(asio::io_context& context) : socket(context), timer(context) {}
    tcp::socket socket;
    asio::steady_timer timer;
    boost::beast::flat_buffer buffer;
    clock::time_point give_up = clock::time_point::max();
    bool overdue = false;
  };

  explicit impl(load_options o) : options(std::move(o)), impatience(context) {
    server = tcp::endpoint(asio::ip::make_address(options.host), options.port);
    tallies.emplace_back("", tally());
    for (unsigned i = 0; i < options.connections; ++i) {
      auto& one = clients.emplace_back(context);
      asio::co_spawn(context, run(one), [this](std::exception_ptr error) { ended(error); });
    }
    asio::co_spawn(context, lose_patience(), [](std::exception_ptr) {});
    thread = std::thread([this] { context.run(); });
  }

  awaitable<void> run(client& me);
  awaitable<void> ask(client& me, const std::string& path, clock::time_point due, tally& into);
  awaitable<void> connect(client& me, error_code& error);
  awaitable<void> exchange(client& me, const std::string& path, clock::time_point due, tally& into);
  awaitable<void> lose_patience();
  void drop_if_closed(client& me, tally& into);
  void fail(client& me, step at, const error_code&, tally& into);
  void ended(std::exception_ptr error);
  void stop_asking();

  load_options options;
  asio::io_context context{1};
  tcp::endpoint server;
  asio::steady_timer impatience;
  std::list<client> clients;
  /// Coroutines hold references to their phases.
  std::deque<std::pair<std::string, tally>> tallies;
  clock::time_point start = clock::now();
  std::uint64_t next = 0;
  unsigned gone = 0;
  bool stopping = false;
  std::exception_ptr trouble;
  std::thread thread;
};

awaitable<void> load::impl::run(client& me) {
  while (!stopping) {
    const auto ticket = next++;
    if (options.requests && ticket >= options.requests) break;
    auto due = clock::now();
    if (options.rate > 0) {
      due = start + std::chrono::nanoseconds(static_cast<std::int64_t>(static_cast<double>(ticket) *
                                                                       1e9 / options.rate));
      error_code stopped;
      me.timer.expires_at(due);
      co_await me.timer.async_wait(asio::redirect_error(asio::use_awaitable, stopped));
      if (stopping) break;
    }
    co_await ask(me, options.paths[ticket % options.paths.size()], due, tallies.back().second);
  }
  drop_if_closed(me, tallies.back().second);
}

/// What the server has closed meanwhile is not asked: a client of HTTP looks first.
void load::impl::drop_if_closed(client& me, tally& into) {
  if (!me.socket.is_open()) return;
  char byte;
  const auto got = ::recv(me.socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return;
  // Anything else that may come unasked, a 408 say, is the server's way to close.
  ++into.closes_unannounced;
  me.socket.close();
}

awaitable<void> load::impl::ask(client& me, const std::string& path, clock::time_point due,
                                tally& into) {
  ++into.asked;
  drop_if_closed(me, into);
  me.give_up = clock::now() + options.patience;
  me.overdue = false;
  error_code error;
  if (!me.socket.is_open()) co_await connect(me, error);
  if (error)
    fail(me, step::connecting, error, into);
  else
    co_await exchange(me, path, due, into);
  me.give_up = clock::time_point::max();
}

awaitable<void> load::impl::connect(client& me, error_code& error) {
  me.buffer.clear();
  co_await me.socket.async_connect(server, asio::redirect_error(asio::use_awaitable, error));
  error_code ignored;
  if (!error) me.socket.set_option(tcp::no_delay(true), ignored);
}

awaitable<void> load::impl::exchange(client& me, const std::string& path, clock::time_point due,
                                     tally& into) {
  std::string request = "GET " + path + " HTTP/1.1\r\nHost: bench\r\n";
  request += options.keep_alive ? "\r\n" : "Connection: close\r\n\r\n";
  error_code error;
  co_await asio::async_write(me.socket, asio::buffer(request),
                             asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return fail(me, step::asking, error, into);
  http::response_parser<http::string_body> answer;
  co_await http::async_read(me.socket, me.buffer, answer,
                            asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return fail(me, step::reading, error, into);
  if (!is_right(answer.get()) || me.buffer.size() > 0) {
    ++into.wrong;
    me.socket.close();
    co_return;
  }
  ++into.answered;
  into.latencies.push_back(static_cast<std::uint32_t>((clock::now() - due).count() / 1000));
  if (options.keep_alive && answer.keep_alive()) co_return;
  if (options.keep_alive) ++into.closes_announced;
  me.socket.close();
}

void load::impl::fail(client& me, step at, const error_code& error, tally& into) {
  error_code ignored;
  me.socket.close(ignored);
  auto counted = me.overdue ? &tally::timed_out : classify(at, error);
  if (!counted) throw boost::system::system_error(error, "the load client");
  ++(into.*counted);
}

/// Ends what takes too long. One look a tenth of the patience costs less than a timer a request.
awaitable<void> load::impl::lose_patience() {
  // Not until the wait is cancelled: a timer that has fired already does not heed that.
  while (gone < clients.size()) {
    impatience.expires_after(options.patience / 10);
    error_code cancelled;
    co_await impatience.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
    for (auto& each : clients) {
      if (clock::now() < each.give_up) continue;
      each.overdue = true;
      error_code ignored;
      each.socket.cancel(ignored);
    }
  }
}

void load::impl::ended(std::exception_ptr error) {
  if (error && !trouble) trouble = error;
  if (error) stop_asking();
  if (++gone == clients.size()) impatience.cancel();
}

void load::impl::stop_asking() {
  stopping = true;
  for (auto& each : clients) each.timer.cancel();
}

load::load(load_options o) : impl_(std::make_unique<impl>(std::move(o))) {}

load::~load() {
  if (!impl_->thread.joinable()) return;
  asio::post(impl_->context, [this] { impl_->stop_asking(); });
  impl_->thread.join();
}

void load::phase(std::string name) {
  asio::post(impl_->context, [this, name = std::move(name)]() mutable {
    impl_->tallies.emplace_back(std::move(name), tally());
  });
}

phases load::stop() {
  asio::post(impl_->context, [this] { impl_->stop_asking(); });
  return finish();
}

phases load::finish() {
  impl_->thread.join();
  if (impl_->trouble) std::rethrow_exception(impl_->trouble);
  return {impl_->tallies.begin(), impl_->tallies.end()};
}

}  // namespace bench
