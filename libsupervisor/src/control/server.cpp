#include "control/server.hpp"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/json/serialize.hpp>
#include <limits>
#include <optional>
#include <stdexcept>

#include "control/command.hpp"
#include "control/status.hpp"
#include "supervisor/condition.hpp"
#include "supervisor/errc.hpp"
#include "supervisor/journal.hpp"
#include "supervisor/task_group.hpp"

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

namespace supervisor {

namespace {

using protocol = asio::local::stream_protocol;
using socket_type = control_server::socket;
using stream_type = beast::basic_stream<protocol>;
using request_type = http::request<http::string_body>;
using error_code = boost::system::error_code;

constexpr auto client_patience = std::chrono::seconds(10);  ///< for a request, or to take an answer
constexpr auto farewell = std::chrono::seconds(1);          ///< for answers at the end
constexpr std::size_t most_sessions = 256;
constexpr std::size_t most_body = 64 * 1024;

reply refuse(unsigned status, std::string_view error, std::string reason, int exit) {
  reply answer;
  answer.status = status;
  answer.body["ok"] = false;
  answer.body["error"] = error;
  answer.body["reason"] = std::move(reason);
  answer.body["exit"] = exit;
  return answer;
}

/// What a client is told whose request could not be read; nothing where it left or said nothing.
std::optional<reply> misread(error_code error) {
  if (error == http::error::body_limit)
    return refuse(413, "too_long", fmt::format("the body is longer than {} bytes", most_body),
                  exit_code::usage);
  if (error == http::error::end_of_stream || error == http::error::partial_message ||
      error.category() != make_error_code(http::error::end_of_stream).category())
    return std::nullopt;
  return refuse(400, "bad_request", "not a valid HTTP request: " + error.message(),
                exit_code::usage);
}

/// Completes with `work`, or with nothing when the client has gone: that ends the wait only.
asio::awaitable<std::optional<reply>> unless_gone(socket_type& client,
                                                  asio::awaitable<reply> work) {
  auto executor = co_await asio::this_coro::executor;
  // EPOLLHUP, which wait_error reports, is both directions closed: a client that has merely ended
  // its own side still waits for the answer.
  auto both = asio::experimental::make_parallel_group(
      asio::co_spawn(executor, std::move(work), asio::deferred),
      client.async_wait(socket_type::wait_error, asio::deferred));
  auto done = co_await both.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  std::optional<reply> answer;
  if (std::get<0>(done)[0] == 0) {
    if (std::get<1>(done)) std::rethrow_exception(std::get<1>(done));
    answer = std::move(std::get<2>(done));
  }
  co_return answer;
}

/// A socket that is closed with something unread in it takes the answer along.
asio::awaitable<void> take_the_rest(stream_type& stream) {
  error_code error;
  stream.socket().shutdown(socket_type::shutdown_send, error);
  stream.expires_after(client_patience);
  char rest[4096];
  while (!error)
    co_await stream.async_read_some(asio::buffer(rest),
                                    asio::redirect_error(asio::use_awaitable, error));
}

}  // namespace

struct control_server::impl {
  impl(host& h, supervisor& s, protocol::acceptor a, options o)
      : world(h),
        self(s),
        acceptor(std::move(a)),
        about(std::move(o)),
        started(h.now()),
        sessions(h.executor(), [this](std::exception_ptr error) { failed(std::move(error)); }),
        changed(h),
        waiting(s, about.sockets) {}

  asio::awaitable<void> accept();
  asio::awaitable<void> session(socket_type);
  asio::awaitable<void> go_on(socket_type, waiting_client);
  asio::awaitable<bool> tell(stream_type&, reply, bool more);
  asio::awaitable<std::optional<reply>> respond(socket_type&, const request_type&,
                                                std::pair<pid_t, uid_t> who);
  asio::awaitable<reply> carry_out(command, std::pair<pid_t, uid_t> who, int socket);
  asio::awaitable<reply> upgrade(waiting_client, int socket);
  asio::awaitable<reply> finish(waiting_client);
  asio::awaitable<reply> wait_for(const waiting_client&);
  asio::awaitable<reply> wait_for_upgrade();
  asio::awaitable<reply> wait_for_end();
  reply noted(reply, const waiting_client&);
  reply look(std::string_view path) const;

  /// Counts for as long as it lives.
  struct counted {
    counted(impl& i, std::size_t& n) : all(i), number(n) { ++number; }
    ~counted() {
      --number;
      all.changed.notify();
    }
    counted(const counted&) = delete;
    impl& all;
    std::size_t& number;
  };

  void failed(std::exception_ptr error) {
    try {
      std::rethrow_exception(std::move(error));
    } catch (const std::exception& e) {
      self.note(fmt::format("control: a session failed: {}", e.what()));
    }
  }

  host& world;
  supervisor& self;
  protocol::acceptor acceptor;
  options about;
  time_point started;
  std::size_t open = 0;  ///< sessions
  std::size_t busy = 0;  ///< requests that wait for their answer
  std::optional<int> ended;
  std::vector<socket_type> parked;  ///< of clients of `stop`, answered
  task_group sessions;
  condition changed;  ///< a session or a request ended, or everything has
  waiting_clients waiting;
};

asio::awaitable<void> control_server::impl::accept() {
  for (;;) {
    while (open >= most_sessions) co_await changed.wait();
    error_code error;
    auto client = co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
    if (error == asio::error::operation_aborted) co_return;
    if (!error)
      sessions.spawn(session(std::move(client)));
    else  // EMFILE and the like: the client waits in the queue meanwhile
      co_await changed.wait(world.now() + std::chrono::milliseconds(100));
  }
}

asio::awaitable<void> control_server::impl::session(socket_type client) {
  counted visitor(*this, open);
  auto who = about.identify(client);
  stream_type stream(std::move(client));
  beast::flat_buffer buffer(2 * most_body);
  bool more = true;
  while (more) {
    http::request_parser<http::string_body> parser;
    parser.body_limit(most_body);
    error_code error;
    stream.expires_after(client_patience);
    co_await http::async_read(stream, buffer, parser,
                              asio::redirect_error(asio::use_awaitable, error));
    stream.expires_never();
    std::optional<reply> answer;
    counted request(*this, busy);
    bool unread = static_cast<bool>(error);
    if (error)
      answer = misread(error);
    else
      answer = co_await respond(stream.socket(), parser.get(), who);
    if (!answer) co_return;
    more = !unread && parser.get().keep_alive() && !ended;
    bool told = co_await tell(stream, std::move(*answer), more);
    if (!told) co_return;
    if (unread) co_await take_the_rest(stream);
  }
  if (ended) parked.push_back(stream.release_socket());
}

/// With one that has asked the master before this one.
asio::awaitable<void> control_server::impl::go_on(socket_type client, waiting_client what) {
  counted visitor(*this, open), request(*this, busy);
  stream_type stream(std::move(client));
  auto work = finish(std::move(what));
  auto answer = co_await unless_gone(stream.socket(), std::move(work));
  if (!answer) co_return;
  bool told = co_await tell(stream, std::move(*answer), false);
  if (told && ended) parked.push_back(stream.release_socket());
}

/// False when the client did not take it.
asio::awaitable<bool> control_server::impl::tell(stream_type& stream, reply answer, bool more) {
  http::response<http::string_body> response(static_cast<http::status>(answer.status), 11);
  response.set(http::field::content_type, "application/json");
  if (answer.status == 405) response.set(http::field::allow, "GET, POST");
  response.keep_alive(more);
  response.body() = boost::json::serialize(answer.body) + '\n';
  response.prepare_payload();
  error_code error;
  stream.expires_after(client_patience);
  co_await http::async_write(stream, response, asio::redirect_error(asio::use_awaitable, error));
  stream.expires_never();
  co_return !error;
}

/// Nothing when the client has gone.
asio::awaitable<std::optional<reply>> control_server::impl::respond(socket_type& client,
                                                                    const request_type& request,
                                                                    std::pair<pid_t, uid_t> who) {
  std::string path(request.target());
  if (who.second != about.owner && who.second != 0)
    co_return refuse(403, "permission_denied",
                     fmt::format("uid {} may not command this master", who.second),
                     exit_code::denied);
  if (request.method() == http::verb::get) co_return look(path);
  if (request.method() != http::verb::post)
    co_return refuse(405, "bad_method", "the methods are GET and POST", exit_code::usage);

  std::optional<command> what;
  try {
    what = parse_command(path, request.body(), about.verbs);
  } catch (const std::invalid_argument& e) {
    co_return refusal(make_error_code(errc::invalid_argument), e.what());
  }
  if (!what) co_return refuse(404, "no_such_command", "there is no " + path, exit_code::usage);
  auto work = carry_out(std::move(*what), who, client.native_handle());
  auto answer = co_await unless_gone(client, std::move(work));
  co_return answer;
}

reply control_server::impl::look(std::string_view path) const {
  std::vector<pool_status> pools;
  for (auto& pool : self.pools()) pools.push_back(pool.status());
  reply answer;
  if (path == "/status") {
    master_status master;
    master.name = self.name();
    master.pid = about.pid;
    master.main_pid = about.main_pid;
    master.version = about.version;
    master.uptime = world.now() - started;
    if (about.upgraded) master.upgrade = about.upgraded();
    master.strangers_reaped = world.strangers_reaped() + about.strangers_reaped_above();
    std::vector<group_status> groups;
    for (auto& group : self.groups()) groups.push_back(group.status());
    answer.body = to_json(master, pools, groups);
  } else if (path == "/rollout") {
    answer.body = history_to_json(pools);
  } else if (path == "/livez") {
    answer.body["ok"] = true;
  } else if (path == "/readyz") {
    bool ready = !self.stop_requested() && all_ready(pools);
    answer.status = ready ? 200 : 503;
    answer.body["ok"] = ready;
  } else {
    answer = refuse(404, "no_such_page", "there is /status, /rollout, /livez and /readyz",
                    exit_code::usage);
  }
  return answer;
}

asio::awaitable<reply> control_server::impl::carry_out(command what, std::pair<pid_t, uid_t> who,
                                                       int socket) {
  event heard(event_kind::command_received);
  heard.text = fmt::format("{} by pid {} of uid {}", describe(what), who.first, who.second);
  if (!what.why.empty()) heard.text += ": " + what.why;
  waiting_client mine;
  mine.cause = self.log().record(std::move(heard));
  mine.command = describe(what);
  switch (what.what) {
    case command::verb::signal:
      co_return noted(send_signal(self, what, mine.cause), mine);
    case command::verb::application: {
      auto work = execute_application(self, std::move(what), mine.cause);
      auto answer = co_await std::move(work);
      co_return noted(std::move(answer), mine);
    }
    case command::verb::stop: {
      journal::because because(self.log(), mine.cause);
      self.request_stop(what.quick);
      mine.stop = true;
      break;
    }
    case command::verb::upgrade: {
      auto work = upgrade(std::move(mine), socket);
      auto answer = co_await std::move(work);
      co_return answer;
    }
    default:
      mine.what = begin(self, what, mine.cause);
  }
  if (!mine.what.refused) mine.where = waiting.hold(socket);
  auto work = finish(std::move(mine));
  auto answer = co_await std::move(work);
  co_return answer;
}

/// Completes where it fails. Where it does not, and where that shows too late for this process, the
/// next one answers.
asio::awaitable<reply> control_server::impl::upgrade(waiting_client client, int socket) {
  bool first = !self.upgrading();
  auto begun = begin_upgrade(self, client.cause);
  client.upgrade = true;
  if (first && self.upgrading()) client.where = waiting.hold(socket);
  waiting_clients::known mine(waiting, std::move(client));
  auto failed = co_await std::move(begun);
  co_return noted(refusal(failed.error, std::move(failed.reason)), *mine);
}

asio::awaitable<reply> control_server::impl::finish(waiting_client client) {
  waiting_clients::known mine(waiting, std::move(client));
  auto work = wait_for(*mine);
  auto answer = co_await std::move(work);
  co_return noted(std::move(answer), *mine);
}

asio::awaitable<reply> control_server::impl::wait_for(const waiting_client& client) {
  if (client.stop) return wait_for_end();
  if (client.upgrade) return wait_for_upgrade();
  return settle(self, client.what);
}

/// What was refused is in the log, too.
reply control_server::impl::noted(reply answer, const waiting_client& client) {
  if (auto* reason = answer.body.if_contains("reason")) {
    event told(event_kind::note);
    told.cause = client.cause;
    told.text = fmt::format("{}: {}", client.command, reason->get_string().c_str());
    self.log().record(std::move(told));
  }
  return answer;
}

/// That the process before this one has begun.
asio::awaitable<reply> control_server::impl::wait_for_upgrade() {
  auto answer = about.end_of_upgrade();
  while (!answer) {
    co_await changed.wait();
    answer = about.end_of_upgrade();
  }
  co_return std::move(*answer);
}

asio::awaitable<reply> control_server::impl::wait_for_end() {
  while (!ended) co_await changed.wait();
  reply answer;
  answer.body["ok"] = true;
  answer.body["exit"] = exit_code::ok;
  answer.body["master_exit"] = *ended;
  co_return answer;
}

control_server::control_server(host& world, supervisor& self, protocol::acceptor acceptor,
                               options about)
    : impl_(std::make_shared<impl>(world, self, std::move(acceptor), std::move(about))) {
  impl_->sessions.spawn(impl_->accept());
  for (auto& [socket, client] : impl_->waiting.take_left())
    impl_->sessions.spawn(
        impl_->go_on(socket_type(world.executor(), protocol(), socket), std::move(client)));
}

control_server::~control_server() = default;

void control_server::leave() { impl_->acceptor.close(); }

void control_server::look_at_upgrade() { impl_->changed.notify(); }

asio::awaitable<std::vector<control_server::socket>> control_server::finish(int exit_code) {
  auto self = impl_;
  self->ended = exit_code;
  self->acceptor.close();
  self->changed.notify();
  auto deadline = self->world.now() + farewell;
  bool in_time = true;
  while (self->busy > 0 && in_time) in_time = co_await self->changed.wait(deadline);
  self->sessions.cancel();
  co_await self->sessions.join();
  co_return std::move(self->parked);
}

}  // namespace supervisor
