#include "client.hpp"

#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <memory>

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

/// One exchange; its operations keep it alive.
class exchange : public std::enable_shared_from_this<exchange> {
 public:
  exchange(protocol::socket socket, std::string path, bool to_the_end, told tell)
      : stream_(std::move(socket)),
        path_(std::move(path)),
        to_the_end_(to_the_end),
        tell_(std::move(tell)) {}

  void begin(const std::string& target, const std::string& body, patience timeout) {
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
    http::async_write(stream_, request_,
                      [self = shared_from_this()](error_code error, std::size_t) {
                        // An answer may be there although the request was not taken whole.
                        error == beast::error::timeout ? self->end(error) : self->read();
                      });
  }

 private:
  void read() {
    http::async_read(stream_, buffer_, parser_,
                     [self = shared_from_this()](error_code error, std::size_t) {
                       !error && self->to_the_end_ ? self->wait_for_end() : self->end(error);
                     });
  }
  void wait_for_end() {
    stream_.async_read_some(asio::buffer(rest_),
                            [self = shared_from_this()](error_code error, std::size_t size) {
                              if (!error && size > 0) return self->wait_for_end();
                              self->end(error == beast::error::timeout ? error : error_code());
                            });
  }
  void end(error_code error) {
    answer got;
    std::optional<no_answer> failure;
    if (error == beast::error::timeout) {
      failure.emplace(exit_code::timed_out,
                      fmt::format("no answer from {} in time; what was asked goes on", path_));
    } else if (error) {
      failure.emplace(exit_code::unreachable,
                      fmt::format("{}: the master hung up: {}", path_, error.message()));
    } else {
      got.status = parser_.get().result_int();
      got.body = std::move(parser_.get().body());
    }
    tell_(got, failure);
  }

  beast::basic_stream<protocol> stream_;
  std::string path_;
  bool to_the_end_;
  told tell_;
  http::request<http::string_body> request_;
  http::response_parser<http::string_body> parser_;
  beast::flat_buffer buffer_;
  char rest_[64];
};

}  // namespace

void ask_soon(asio::io_context& context, const std::string& path, const std::string& name,
              const std::string& target, const std::string& body, patience timeout, told tell,
              bool to_the_end) {
  try {
    auto socket = connect(context, path, name);
    std::make_shared<exchange>(std::move(socket), path, to_the_end, std::move(tell))
        ->begin(target, body, timeout);
  } catch (const no_answer& failure) {
    asio::post(context, [tell = std::move(tell), failure] { tell(answer(), failure); });
  }
}

answer ask(const std::string& path, const std::string& name, const std::string& target,
           const std::string& body, patience timeout, bool to_the_end) {
  asio::io_context context(1);
  answer got;
  std::optional<no_answer> failed;
  auto tell = [&](const answer& came, const std::optional<no_answer>& failure) {
    got = came;
    if (failure) failed.emplace(*failure);
  };
  ask_soon(context, path, name, target, body, timeout, tell, to_the_end);
  context.run();
  if (failed) throw no_answer(*failed);
  return got;
}

}  // namespace app
