#include "supervisor/probe.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <stdexcept>

#include "supervisor/listener.hpp"

namespace supervisor {

namespace {

constexpr duration a_stall = std::chrono::milliseconds(100);

/// What stands in braces, as a number; empty: it is the user's own.
std::string value_of(std::string_view name, unsigned slot, pid_t pid) {
  if (name == "slot") return std::to_string(slot);
  if (name == "pid") return std::to_string(pid);
  std::uint32_t base = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), base);
  auto rest = name.substr(static_cast<std::size_t>(end - name.data()));
  if (error != std::errc{} || rest != "+slot") return {};
  return std::to_string(std::uint64_t{base} + slot);
}

void fill_in(std::string& text, unsigned slot, pid_t pid) {
  for (auto at = text.find('{'); at != text.npos; at = text.find('{', at)) {
    auto end = text.find('}', at);
    if (end == text.npos) return;
    auto value = value_of(std::string_view(text).substr(at + 1, end - at - 1), slot, pid);
    if (!value.empty()) text.replace(at, end + 1 - at, value);
    at += std::max<std::size_t>(value.size(), 1);
  }
}

[[noreturn]] void refuse(std::string_view text, std::string_view why) {
  throw std::invalid_argument(fmt::format("probe '{}': {}", text, why));
}

probe parse_http(std::string_view text, std::string_view rest) {
  bool local = rest.starts_with("unix:");
  auto slash = local ? rest.find(":/", 5) : rest.find('/');
  auto address = rest.substr(0, slash);
  auto path = slash == rest.npos ? "/" : rest.substr(slash + (local ? 1 : 0));
  if (address.empty()) refuse(text, "no address; write http://127.0.0.1:8080/PATH");
  return probe::http(std::string(address), std::string(path));
}

probe parse_exec(std::string_view text, std::string_view rest) {
  std::vector<std::string> words;
  while (!rest.empty()) {
    auto word = rest.substr(0, rest.find(' '));
    if (!word.empty()) words.emplace_back(word);
    rest.remove_prefix(std::min(word.size() + 1, rest.size()));
  }
  if (words.empty()) refuse(text, "no program; write exec:PROGRAM ARGUMENTS");
  auto program = std::move(words.front());
  words.erase(words.begin());
  return probe::exec(std::move(program), std::move(words));
}

std::optional<std::string> find_in_address(const probe& p) {
  try {
    auto address = listener_spec::parse(p.of(0, 1).target);
    if (address.kind == listener_spec::family::descriptor)
      return fmt::format("probe {}: one cannot connect to a descriptor", p.str());
    if (address.kind == listener_spec::family::tcp && address.port == 0)
      return fmt::format("probe {}: one cannot connect to port 0", p.str());
  } catch (const std::invalid_argument& e) {
    return fmt::format("probe {}: {}", p.str(), e.what());
  }
  return {};
}

}  // namespace

probe::probe(way w, std::string t) : how(w), target(std::move(t)) {}

bool probe::operator==(const probe&) const = default;

probe probe::exec(std::string program, std::vector<std::string> arguments) {
  probe p(way::exec, std::move(program));
  p.arguments = std::move(arguments);
  return p;
}

probe probe::http(std::string address, std::string path) {
  probe p(way::http, std::move(address));
  p.path = std::move(path);
  return p;
}

probe probe::tcp(std::string address) { return {way::tcp, std::move(address)}; }
probe probe::log_line(std::string text) { return {way::log_line, std::move(text)}; }
probe probe::heartbeat() { return {way::heartbeat, {}}; }

probe probe::parse(std::string_view text) {
  auto after = [&](std::string_view prefix) -> std::optional<std::string_view> {
    if (!text.starts_with(prefix)) return {};
    return text.substr(prefix.size());
  };
  std::optional<probe> parsed;
  if (text == "heartbeat") parsed = heartbeat();
  if (auto rest = after("http://")) parsed = parse_http(text, *rest);
  if (auto rest = after("tcp://")) parsed = tcp(std::string(*rest));
  if (auto rest = after("exec:")) parsed = parse_exec(text, *rest);
  if (auto rest = after("log:")) parsed = log_line(std::string(*rest));
  if (!parsed)
    refuse(text,
           "write http://ADDR/PATH, tcp://ADDR, exec:PROGRAM ARGUMENTS, log:TEXT or heartbeat");
  if (auto fault = find_fault(*parsed)) throw std::invalid_argument(*fault);
  return std::move(*parsed);
}

namespace {

template <typename Value>
probe with(probe changed, Value probe::* part, Value value) {
  changed.*part = value;
  return changed;
}

}  // namespace

probe probe::every(duration d) const { return with(*this, &probe::period, d); }
probe probe::within(duration d) const { return with(*this, &probe::timeout, d); }
probe probe::ill_after(unsigned n) const { return with(*this, &probe::failures, n); }
probe probe::well_after(unsigned n) const { return with(*this, &probe::successes, n); }
probe probe::after(duration d) const { return with(*this, &probe::start, d); }

probe probe::of(unsigned slot, pid_t pid) const {
  auto filled = *this;
  if (how == way::log_line) return filled;
  fill_in(filled.target, slot, pid);
  fill_in(filled.path, slot, pid);
  for (auto& argument : filled.arguments) fill_in(argument, slot, pid);
  return filled;
}

std::string probe::str() const {
  switch (how) {
    case way::exec:
      return fmt::format("exec:{}{}{}", target, arguments.empty() ? "" : " ",
                         fmt::join(arguments, " "));
    case way::http:
      return fmt::format("http://{}{}{}", target, target.starts_with("unix:") ? ":" : "", path);
    case way::tcp:
      return "tcp://" + target;
    case way::log_line:
      return "log:" + target;
    case way::heartbeat:
      break;
  }
  return "heartbeat";
}

health judge(const probe& p, health before, bool well) noexcept {
  constexpr auto most = std::numeric_limits<unsigned>::max();
  if (!well) return {before.failures < most ? before.failures + 1 : most, 0};
  before.successes += before.successes < most;
  if (before.successes >= p.successes) before.failures = 0;
  return before;
}

bool is_evidence(const probe_timing& t) noexcept {
  return t.asleep <= a_stall && (t.due == never || t.now <= later(t.due, a_stall));
}

std::optional<std::string> find_fault(const probe& p) {
  auto wrong = [&](std::string_view why) { return fmt::format("probe {}: {}", p.str(), why); };
  auto has_nul = [](const std::string& text) { return text.find('\0') != text.npos; };
  if (p.period <= duration{}) return wrong("its period must be more than zero");
  if (p.timeout <= duration{}) return wrong("its timeout must be more than zero");
  if (p.start < duration{}) return wrong("the time before it is negative");
  if (p.failures == 0 || p.successes == 0) return wrong("it takes one result at least to believe");
  if (has_nul(p.target) || std::ranges::any_of(p.arguments, has_nul))
    return "probe: a NUL character";
  if (p.how != probe::way::heartbeat && p.target.empty()) return wrong("it names nothing");
  if (p.how == probe::way::http) {
    auto is_good = [](unsigned char c) { return c > ' ' && c != 0x7f; };
    if (!p.path.starts_with('/')) return wrong("its path does not begin with a /");
    if (!std::ranges::all_of(p.path, is_good)) return wrong("a blank in its path; write %20");
  }
  bool connects = p.how == probe::way::http || p.how == probe::way::tcp;
  return connects ? find_in_address(p) : std::nullopt;
}

}  // namespace supervisor
