#include "client.hpp"

#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <filesystem>

#include "supervisor/errc.hpp"

namespace app {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace exit_code = supervisor::exit_code;
using protocol = asio::local::stream_protocol;
using boost::system::error_code;

protocol::socket connect(asio::io_context& context, const std::string& path,
                         const std::string& name) {
  if (path.size() >= 108)  // sockaddr_un::sun_path
    throw no_answer(exit_code::usage,
                    fmt::format("{} is longer than the 107 bytes of a socket's path", path));
  protocol::socket socket(context);
  error_code error;
  socket.connect(protocol::endpoint(path), error);
  if (!error) return socket;
  if (error == boost::system::errc::no_such_file_or_directory ||
      error == boost::system::errc::connection_refused)
    throw no_answer(
        exit_code::not_running,
        fmt::format("no master is running{} (nobody listens on {}); start one with prefork run, or "
                    "choose with --name or --control",
                    name.empty() ? "" : " under the name " + name, path));
  bool denied = error == boost::system::errc::permission_denied;
  throw no_answer(denied ? exit_code::denied : exit_code::unreachable,
                  fmt::format("{}: {}{}", path, error.message(),
                              denied ? "; run as the master's user or root" : ""));
}

/// The exchange, driven by a loop of its own because only asynchronous operations have a timeout.
class exchange {
 public:
  exchange(asio::io_context& context, protocol::socket socket, bool to_the_end)
      : context_(context), stream_(std::move(socket)), to_the_end_(to_the_end) {}

  error_code run(const std::string& target, const std::string& body,
                 std::optional<std::chrono::nanoseconds> timeout) {
    request_.method(body.empty() ? http::verb::get : http::verb::post);
    request_.target(target);
    request_.version(11);
    request_.set(http::field::host, "prefork");
    request_.keep_alive(false);
    if (!body.empty()) request_.set(http::field::content_type, "application/json");
    request_.body() = body;
    request_.prepare_payload();
    parser_.body_limit(64 * 1024 * 1024);
    if (timeout) stream_.expires_after(*timeout);
    http::async_write(stream_, request_, [this](error_code error, std::size_t) {
      error_ = error;
      // An answer may be there although the request was not taken whole.
      if (error != beast::error::timeout) read();
    });
    context_.run();
    return error_;
  }

  answer result() {
    answer got;
    got.status = parser_.get().result_int();
    got.body = std::move(parser_.get().body());
    return got;
  }

 private:
  void read() {
    http::async_read(stream_, buffer_, parser_, [this](error_code error, std::size_t) {
      error_ = error;
      if (!error && to_the_end_) wait_for_end();
    });
  }
  void wait_for_end() {
    stream_.async_read_some(asio::buffer(rest_), [this](error_code error, std::size_t size) {
      if (!error && size > 0) return wait_for_end();
      if (error == beast::error::timeout) error_ = error;
    });
  }

  asio::io_context& context_;
  beast::basic_stream<protocol> stream_;
  bool to_the_end_;
  http::request<http::string_body> request_;
  http::response_parser<http::string_body> parser_;
  beast::flat_buffer buffer_;
  char rest_[64];
  error_code error_;
};

}  // namespace

answer ask(const std::string& path, const std::string& name, const std::string& target,
           const std::string& body, std::optional<std::chrono::nanoseconds> timeout,
           bool to_the_end) {
  asio::io_context context(1);
  exchange talk(context, connect(context, path, name), to_the_end);
  auto error = talk.run(target, body, timeout);
  if (error == beast::error::timeout)
    throw no_answer(exit_code::timed_out,
                    fmt::format("no answer from {} in time; what was asked goes on", path));
  if (error)
    throw no_answer(exit_code::unreachable,
                    fmt::format("{}: the master hung up: {}", path, error.message()));
  return talk.result();
}

}  // namespace app
