#include <arpa/inet.h>

#include <charconv>
#include <stdexcept>

#include "supervisor/listener.hpp"

namespace supervisor {

namespace {

[[noreturn]] void refuse(std::string_view text, const std::string& why) {
  throw std::invalid_argument("listener '" + std::string(text) + "': " + why);
}

bool is_name(std::string_view text) {
  constexpr std::string_view allowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
  return !text.empty() && text.find_first_not_of(allowed) == text.npos;
}

template <typename Number>
bool parse_number(std::string_view text, Number& into) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
  return !text.empty() && error == std::errc{} && end == text.data() + text.size();
}

bool is_v6(std::string host) {
  host.resize(std::min(host.find('%'), host.size()));  // a scope: fe80::1%eth0
  in6_addr ignored;
  return inet_pton(AF_INET6, host.c_str(), &ignored) == 1;
}

bool is_v4(const std::string& host) {
  in_addr ignored;
  return inet_pton(AF_INET, host.c_str(), &ignored) == 1;
}

void parse_tcp(listener_spec& spec, std::string_view text, std::string_view address) {
  const auto colon = address.rfind(':');
  if (colon == address.npos) {
    std::uint16_t port = 0;
    if (parse_number(address, port))
      refuse(text, "a port alone; write 127.0.0.1:" + std::string(address) +
                       " or :" + std::string(address));
    refuse(text, "no port; write HOST:PORT, [V6]:PORT, unix:PATH or fd:N");
  }
  if (address.front() == '[' && address.back() == ']')
    refuse(text, "no port; write " + std::string(address) + ":8080");
  std::string_view host = address.substr(0, colon);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  spec.host = bracketed ? host.substr(1, host.size() - 2) : host;
  if (!parse_number(address.substr(colon + 1), spec.port))
    refuse(text, "'" + std::string(address.substr(colon + 1)) +
                     "' is not a port; a port is a number from 0 to 65535");
  if (bracketed) {
    if (!is_v6(spec.host)) refuse(text, "'" + spec.host + "' is not an IPv6 address");
  } else if (host.find(':') != host.npos) {
    refuse(text, "an IPv6 address needs brackets: [::1]:8080");
  } else if (spec.host.empty()) {
    spec.host = "*";
  } else if (spec.host != "*" && spec.host != "localhost" && !is_v4(spec.host)) {
    refuse(text, "'" + spec.host +
                     "' is not a numeric address; names are not looked up: give the address, "
                     "localhost, or * for all");
  }
}

}  // namespace

listener_spec listener_spec::parse(std::string_view text, std::string_view default_name) {
  // sockaddr_un::sun_path, less its end.
  constexpr std::size_t longest_path = 107;
  listener_spec spec;
  spec.name = default_name;
  std::string_view address = text;
  const auto equals = text.find('=');
  // A path may have a '=' of its own, but then something that is no name comes before it.
  if (equals != text.npos && text.find_first_of(":/[") > equals) {
    if (!is_name(text.substr(0, equals)))
      refuse(text, "the name before '=' is made of letters, digits, '_' and '-'");
    spec.name = text.substr(0, equals);
    address.remove_prefix(equals + 1);
  }
  constexpr std::string_view sharded = ",sharded";
  spec.sharded = address.ends_with(sharded);
  if (spec.sharded) address.remove_suffix(sharded.size());
  if (address.empty()) refuse(text, "no address; write HOST:PORT, [V6]:PORT, unix:PATH or fd:N");
  if (address.starts_with("unix:")) {
    spec.kind = family::unix_path;
    spec.host = address.substr(5);
    if (spec.host.empty()) refuse(text, "no path; write unix:/run/name.sock");
    if (spec.host.size() > longest_path)
      refuse(text, "the path is longer than the kernel's 107 bytes; use a shorter one");
    if (spec.host.find('\0') != spec.host.npos) refuse(text, "the path has a NUL in it");
  } else if (address.starts_with("fd:")) {
    spec.kind = family::descriptor;
    if (!parse_number(address.substr(3), spec.descriptor) || spec.descriptor < 0)
      refuse(text,
             "'" + std::string(address.substr(3)) + "' is not a descriptor's number; write fd:3");
  } else {
    parse_tcp(spec, text, address);
  }
  if (spec.sharded && spec.kind != family::tcp)
    refuse(text, "only a TCP address can be sharded; leave ',sharded' out");
  return spec;
}

std::string listener_spec::address() const {
  switch (kind) {
    case family::unix_path:
      return "unix:" + host;
    case family::descriptor:
      return "fd:" + std::to_string(descriptor);
    case family::tcp:
      break;
  }
  const std::string shown = host.empty() ? "*" : host;
  const bool v6 = shown.find(':') != shown.npos;
  return (v6 ? "[" + shown + "]" : shown) + ":" + std::to_string(port);
}

bool listener_spec::matches(const listener_spec& open) const noexcept {
  if (kind != open.kind || descriptor != open.descriptor) return false;
  bool same_host = host == open.host || (host == "localhost" && open.host == "127.0.0.1");
  return same_host && (port == open.port || (kind == family::tcp && port == 0));
}

}  // namespace supervisor
