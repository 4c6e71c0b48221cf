#include "demo.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <optional>
#include <string>
#include <vector>

#include "demo_request.hpp"
#include "supervisor/worker.hpp"

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::awaitable;
using boost::system::error_code;
using supervisor::connection;
using supervisor::worker;

namespace {

constexpr std::string_view page_begin =
    R"(<!doctype html><html lang="en"><head><meta charset="utf-8"><title>prefork demo</title>
<meta name="viewport" content="width=device-width"><style>
body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:12vh auto;padding:0 1rem;color:#1c2430}
h1{font-size:1.3rem}table{border-collapse:collapse;width:100%}td{padding:.45rem 0;border-bottom:1px solid #e3e7ec}
td+td{text-align:right;font-variant-numeric:tabular-nums;font-weight:600}a{color:#0b62c4}code{background:#f2f4f7;padding:.1em .3em}
@media(prefers-color-scheme:dark){body{background:#14181d;color:#dde3ea}td{border-color:#2b333d}code{background:#222a33}a{color:#6db1ff}}
</style></head><body><h1>Served by a prefork worker</h1><table>
)";
constexpr std::string_view page_end =
    R"(</td></tr></table><p>Try <a href="/pid">/pid</a>, <a href="/slow?ms=2000">/slow?ms=2000</a>,
<a href="/exit?code=3">/exit?code=3</a>, <a href="/crash">/crash</a>, <a href="/hang">/hang</a>;
or <code>kill -TTIN</code>, <code>-TTOU</code>, <code>-HUP</code> the master.</p></body></html>
)";

struct session;

/// What the sessions of one worker share.
struct service {
  explicit service(worker& w);
  void refresh_date();
  /// The start of a 200 answer, with the date of this second.
  std::string_view ok_head(bool html);
  void answer_page(std::string& out, std::string_view connection_line, bool head);

  worker& self;
  class worker::listener listener;
  std::string pid_tail;   // from Content-Length to the end of the body
  std::string page_rows;  // up to the count of requests
  std::string html_head, text_head;
  std::time_t second = 0;  // that the heads were made for
  std::string date;
  std::vector<session*> sessions;
};

service::service(worker& w) : self(w), listener(w.listener()) {
  const std::string pid = std::to_string(getpid()) + "\n";
  pid_tail = fmt::format("Content-Length: {}\r\n\r\n{}", pid.size(), pid);
  page_rows = fmt::format(
      "{}<tr><td>process</td><td>{}</td></tr><tr><td>slot</td><td>{}.{}</td></tr>"
      "<tr><td>generation</td><td>{}</td></tr><tr><td>requests served</td><td>",
      page_begin, getpid(), w.pool(), w.slot(), w.generation());
}

void service::refresh_date() {
  const std::time_t now = std::time(nullptr);
  if (now != second) {
    second = now;
    std::tm parts{};
    gmtime_r(&now, &parts);
    char text[64];
    date.assign(text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts));
    constexpr std::string_view ok = "HTTP/1.1 200 OK\r\nServer: prefork\r\nDate: ";
    html_head = fmt::format("{}{}\r\nContent-Type: text/html; charset=utf-8\r\n", ok, date);
    text_head = fmt::format("{}{}\r\nContent-Type: text/plain\r\n", ok, date);
  }
}

std::string_view service::ok_head(bool html) {
  refresh_date();
  return html ? html_head : text_head;
}

void service::answer_page(std::string& out, std::string_view connection_line, bool head) {
  const fmt::format_int count(self.requests());
  const fmt::format_int size(page_rows.size() + count.size() + page_end.size());
  out.append(ok_head(true)).append(connection_line);
  out.append("Content-Length: ").append(size.data(), size.size()).append("\r\n\r\n");
  if (!head) out.append(page_rows).append(count.data(), count.size()).append(page_end);
}

/// One connection. Requests are parsed where they were received; the answers to all that came
/// together leave in one write.
struct session {
  session(service& s, connection c) : shared(s), socket(std::move(c)) {
    place = shared.sessions.size();
    shared.sessions.push_back(this);
  }
  ~session() {
    shared.sessions.back()->place = place;
    std::swap(shared.sessions[place], shared.sessions.back());
    shared.sessions.pop_back();
  }
  session(const session&) = delete;

  awaitable<void> run();
  awaitable<bool> fill();
  awaitable<void> flush();
  awaitable<void> answer();
  void tell(std::string_view status, std::string_view extra = {});
  void answer_pid();
  std::string_view connection_line();
  bool parse();

  service& shared;
  connection socket;
  std::size_t place;
  std::array<char, 8192> buffer;
  std::size_t begin = 0, end = 0;  // what is received and not parsed yet
  std::optional<demo_request> request;
  std::string out;
  bool waiting = false;  // for the first byte of a request
  bool closing = false;  // after what is in `out`
};

/// Receives more; false when the connection is over.
awaitable<bool> session::fill() {
  if (begin == end) begin = end = 0;
  if (begin > 0) {
    std::memmove(buffer.data(), buffer.data() + begin, end - begin);
    end -= std::exchange(begin, 0);
  }
  if (end == buffer.size()) {
    request.reset();
    tell("431 Request Header Fields Too Large");
    co_return true;
  }
  const auto free = asio::buffer(buffer.data() + end, buffer.size() - end);
  error_code error;
  waiting = end == 0 && !request;
  std::size_t size = 0;
  if (!waiting || !shared.self.draining())
    size = co_await socket.async_read_some(free, asio::redirect_error(asio::use_awaitable, error));
  if (waiting && size == 0 && shared.self.draining()) {
    const auto came = co_await shared.self.idle(shared.listener, socket);
    if (came != supervisor::idle_end::readable) co_return false;
    size = socket.read_some(free, error);
  }
  waiting = false;
  end += size;
  co_return !error;
}

awaitable<void> session::flush() {
  error_code error;
  std::size_t sent = socket.write_some(asio::buffer(out), error);
  if (error == asio::error::would_block || (!error && sent < out.size()))
    co_await asio::async_write(socket, asio::buffer(out.data() + sent, out.size() - sent),
                               asio::redirect_error(asio::use_awaitable, error));
  if (error) closing = true;
  out.clear();
}

/// An answer in words; without a request that was understood it is the connection's last.
void session::tell(std::string_view status, std::string_view extra) {
  const bool understood = request && request->is_done();
  if (!understood) closing = true;
  const auto connection = understood ? connection_line() : "Connection: close\r\n";
  shared.refresh_date();
  fmt::format_to(std::back_inserter(out),
                 "HTTP/1.1 {}\r\nServer: prefork\r\nDate: {}\r\n{}Content-Type: text/plain\r\n"
                 "{}Content-Length: {}\r\n\r\n",
                 status, shared.date, extra, connection, status.size() + 1);
  if (!understood || !request->head()) out.append(status).append("\n");
}

void session::answer_pid() {
  out.append(shared.ok_head(false)).append(connection_line());
  out.append(shared.pid_tail, 0, request->head() ? shared.pid_tail.find("\r\n\r\n") + 4 : out.npos);
}

std::string_view status_of(const error_code& error) {
  if (error == http::error::body_limit) return "413 Content Too Large";
  if (error == http::error::header_limit) return "431 Request Header Fields Too Large";
  return "400 Bad Request";
}

/// True when a request is complete, or was answered with an error.
bool session::parse() {
  if (begin == end) return false;
  if (!request) request.emplace();
  while (!request->is_done()) {
    if (begin == end) return false;
    error_code error;
    begin += request->put(asio::buffer(buffer.data() + begin, end - begin), error);
    if (error == http::error::need_more) return false;
    if (error) {
      request.reset();
      tell(status_of(error));
      return true;
    }
  }
  return true;
}

/// Decides whether this is the connection's last answer: the client wants it, or the worker leaves,
/// nothing more has been received, and nobody would take the connection.
std::string_view session::connection_line() {
  closing = !request->keep_alive() || (!shared.self.keeps_connections() && begin == end);
  if (closing) return "Connection: close\r\n";
  return request->http_1_0() ? "Connection: keep-alive\r\n" : "";
}

awaitable<void> session::answer() {
  const worker::request in_flight(shared.self, request->activity());
  const bool head = request->head();
  switch (request->route()) {
    case demo_route::pid:
      answer_pid();
      break;
    case demo_route::page:
      shared.answer_page(out, connection_line(), head);
      break;
    case demo_route::slow: {
      co_await flush();
      asio::steady_timer timer(socket.get_executor(), std::chrono::milliseconds(request->number()));
      co_await timer.async_wait(asio::use_awaitable);
      answer_pid();
      break;
    }
    case demo_route::exit:
      out.append(shared.ok_head(false)).append("Connection: close\r\nContent-Length: 8\r\n\r\n");
      out.append(head ? "" : "exiting\n");
      co_await flush();
      _exit(static_cast<int>(request->number()));
    case demo_route::crash:
      std::abort();
    case demo_route::hang:
      for (volatile bool forever = true; forever;) continue;
      break;
    case demo_route::not_found:
      tell("404 Not Found");
      break;
    case demo_route::bad_method:
      tell("405 Method Not Allowed", "Allow: GET, HEAD\r\n");
      break;
    case demo_route::bad_query:
      tell("400 Bad Request");
      break;
  }
}

awaitable<void> session::run() {
  error_code ignored;
  socket.non_blocking(true, ignored);
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);  // refused by a unix socket
  while (!closing) {
    const bool received = co_await fill();
    if (!received) co_return;
    while (!closing && parse()) {
      if (!closing) co_await answer();
      request.reset();
    }
    co_await flush();
  }
  socket.shutdown(connection::shutdown_send, ignored);
  // Closing over unread bytes would be a reset that overtakes the answer.
  socket.read_some(asio::buffer(buffer), ignored);
}

awaitable<void> serve_connection(std::shared_ptr<service> shared, connection accepted) {
  session one(*shared, std::move(accepted));
  co_await one.run();
}

/// Connections that wait between two requests learn that the worker is to leave.
awaitable<void> stir_idle(std::shared_ptr<service> shared) {
  co_await shared->self.stopping();
  error_code ignored;
  for (auto* one : shared->sessions)
    if (one->waiting) one->socket.cancel(ignored);
}

awaitable<void> serve(worker& self) {
  auto shared = std::make_shared<service>(self);
  self.spawn(stir_idle(shared));
  self.ready();
  for (;;) {
    auto accepted = co_await self.accept(shared->listener);
    if (!accepted) co_return;
    self.spawn(serve_connection(shared, std::move(*accepted)));
  }
}

}  // namespace

supervisor::worker_function demo() { return {"demo", serve}; }
