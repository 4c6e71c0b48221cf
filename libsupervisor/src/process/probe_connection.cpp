// Looks by TCP and HTTP. No name is looked up, and no thread is needed.
#include <fmt/format.h>

#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>
#include <charconv>
#include <stdexcept>

#include "process/probe_runner.hpp"
#include "supervisor/listener.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

using boost::system::error_code;

asio::generic::stream_protocol::endpoint endpoint_of(const listener_spec& address) {
  if (address.kind == listener_spec::family::unix_path)
    return asio::local::stream_protocol::endpoint(address.host);
  bool here = address.host == "*" || address.host == "localhost";
  auto host = asio::ip::make_address(here ? "127.0.0.1" : address.host);
  return asio::ip::tcp::endpoint(host, address.port);
}

class connection_probe : public std::enable_shared_from_this<connection_probe> {
 public:
  connection_probe(asio::any_io_executor executor, probe_done done)
      : socket_(std::move(executor)), done_(std::move(done)) {}

  /// Throws std::invalid_argument, system_error.
  void start(const probe& what) {
    auto address = listener_spec::parse(what.target);
    if (what.how == probe::way::http)
      request_ = fmt::format(
          "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: prefork-probe\r\nConnection: close\r\n\r\n",
          what.path, address.kind == listener_spec::family::tcp ? address.address() : "localhost");
    auto endpoint = endpoint_of(address);
    socket_.open(endpoint.protocol());
    socket_.async_connect(endpoint, [self = shared_from_this()](error_code error) {
      if (error || self->request_.empty()) return self->finish(error, "connected");
      self->ask();
    });
  }

  void end() {
    done_ = nullptr;
    error_code ignored;
    socket_.close(ignored);
  }

 private:
  void ask() {
    asio::async_write(socket_, asio::buffer(request_),
                      [self = shared_from_this()](error_code error, std::size_t) {
                        if (error) return self->finish(error, {});
                        self->read();
                      });
  }

  void read() {
    socket_.async_read_some(asio::buffer(buffer_),
                            [self = shared_from_this()](error_code error, std::size_t size) {
                              self->answer_.append(self->buffer_.data(), size);
                              self->on_answer(error);
                            });
  }

  /// The first line is all that counts.
  void on_answer(error_code error) {
    auto end = answer_.find('\n');
    bool whole = end != answer_.npos || answer_.size() >= buffer_.size();
    if (!whole && !error) return read();
    if (!whole && error != asio::error::eof) return finish(error, {});
    auto line = std::string_view(answer_).substr(0, end);
    while (line.ends_with('\r')) line.remove_suffix(1);
    int status = 0;
    if (line.starts_with("HTTP/1.") && line.size() > 9)
      std::from_chars(line.data() + 9, line.data() + line.size(), status);
    if (status == 0) return tell({false, "no answer in HTTP"});
    tell({status >= 200 && status < 400, std::string(line.substr(9))});
  }

  void finish(error_code error, std::string words) {
    tell(error ? probe_result(false, error.message()) : probe_result(true, std::move(words)));
  }

  void tell(probe_result result) {
    auto done = std::exchange(done_, nullptr);
    error_code ignored;
    socket_.close(ignored);
    if (done) done(std::move(result));
  }

  asio::generic::stream_protocol::socket socket_;
  probe_done done_;
  std::string request_, answer_;
  std::array<char, 512> buffer_;
};

}  // namespace

probe_end probe_by_connection(asio::any_io_executor executor, const probe& what, probe_done done) {
  auto running = std::make_shared<connection_probe>(executor, done);
  try {
    running->start(what);
    return [running] { running->end(); };
  } catch (const std::exception& e) {
    return probe_in_vain(std::move(executor), e.what(), std::move(done));
  }
}

}  // namespace supervisor
