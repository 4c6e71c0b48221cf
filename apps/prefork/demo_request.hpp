// What the demo understands of a request.
#pragma once

#include <boost/beast/http/basic_parser.hpp>
#include <charconv>
#include <cstdint>
#include <string_view>

enum class demo_route : std::uint8_t {
  page,
  pid,
  slow,
  crash,
  exit,
  hang,
  not_found,
  bad_method,
  bad_query,
};

/// Beast's parser, keeping nothing but the decision: fields and bodies are skipped in place.
class demo_request : public boost::beast::http::basic_parser<true> {
 public:
  demo_route route() const noexcept { return route_; }
  /// "GET /slow", for the scoreboard.
  std::string_view activity() const noexcept {
    static constexpr std::string_view of_get[] = {"GET /",      "GET /pid",  "GET /slow",
                                                  "GET /crash", "GET /exit", "GET /hang"};
    auto index = static_cast<std::size_t>(route_);
    if (index >= std::size(of_get)) return "a request in vain";
    return head_ ? "HEAD" : of_get[index];
  }
  unsigned number() const noexcept { return number_; }  ///< of `ms=` or `code=`
  bool head() const noexcept { return head_; }
  bool http_1_0() const noexcept { return version_ < 11; }

 private:
  using error_code = boost::beast::error_code;
  using string_view = boost::beast::string_view;
  using verb = boost::beast::http::verb;
  using field = boost::beast::http::field;

  void on_request_impl(verb method, string_view, string_view target, int version,
                       error_code&) override {
    version_ = version;
    head_ = method == verb::head;
    route_ = decide(method, {target.data(), target.size()});
  }

  demo_route decide(verb method, std::string_view target) noexcept {
    if (method != verb::get && method != verb::head) return demo_route::bad_method;
    const auto question = target.find('?');
    const auto path = target.substr(0, question);
    const auto query = question == target.npos ? std::string_view() : target.substr(question + 1);
    if (path == "/pid") return demo_route::pid;
    if (path == "/") return demo_route::page;
    if (path == "/slow") return with_number(demo_route::slow, query, "ms=", 2000, 3'600'000);
    if (path == "/exit") return with_number(demo_route::exit, query, "code=", 0, 255);
    if (path == "/crash") return demo_route::crash;
    if (path == "/hang") return demo_route::hang;
    return demo_route::not_found;
  }

  demo_route with_number(demo_route route, std::string_view query, std::string_view name,
                         unsigned otherwise, unsigned most) noexcept {
    number_ = otherwise;
    if (query.empty()) return route;
    if (!query.starts_with(name)) return demo_route::bad_query;
    query.remove_prefix(name.size());
    const char* end = query.data() + query.size();
    const auto parsed = std::from_chars(query.data(), end, number_);
    const bool good = parsed.ec == std::errc{} && parsed.ptr == end && number_ <= most;
    return good ? route : demo_route::bad_query;
  }

  void on_response_impl(int, string_view, int, error_code&) override {}
  void on_field_impl(field, string_view, string_view, error_code&) override {}
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) override {}
  std::size_t on_body_impl(string_view body, error_code&) override { return body.size(); }
  void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, string_view body, error_code&) override {
    return body.size();
  }
  void on_finish_impl(error_code&) override {}

  demo_route route_ = demo_route::not_found;
  unsigned number_ = 0;
  int version_ = 11;
  bool head_ = false;
};
