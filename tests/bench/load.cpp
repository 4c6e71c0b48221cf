// bench_load: the load client as a program. Each line of its stdin begins a phase of that name; at
// the end of stdin it stops, and prints one JSON object.
#include <fmt/format.h>

#include <charconv>
#include <csignal>
#include <iostream>
#include <stdexcept>

#include "bench/load_client.hpp"

namespace {

constexpr const char* usage =
    "bench_load PORT [keep-alive] [rate=N] [connections=N] [patience=MS] [path=/PATH]";

template <typename Number>
Number number(std::string_view text) {
  Number value{};
  auto end = text.data() + text.size();
  auto parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec != std::errc{} || parsed.ptr != end) throw std::invalid_argument(usage);
  return value;
}

bench::load_options parse(int argc, char** argv) {
  if (argc < 2) throw std::invalid_argument(usage);
  bench::load_options options;
  options.port = number<std::uint16_t>(argv[1]);
  for (int i = 2; i < argc; ++i) {
    std::string_view word = argv[i];
    auto value = word.substr(std::min(word.find('=') + 1, word.size()));
    if (word == "keep-alive")
      options.keep_alive = true;
    else if (word.starts_with("rate="))
      options.rate = number<double>(value);
    else if (word.starts_with("connections="))
      options.connections = number<unsigned>(value);
    else if (word.starts_with("patience="))
      options.patience = std::chrono::milliseconds(number<unsigned>(value));
    else if (word.starts_with("path="))
      options.paths = {std::string(value)};
    else
      throw std::invalid_argument(usage);
  }
  return options;
}

void print(const std::string& name, bench::tally& t, bool last) {
  fmt::print(
      "{{\"phase\": \"{}\", \"asked\": {}, \"answered\": {}, \"failed\": {}, \"failures\": \"{}\", "
      "\"closed_by_server\": {}, \"unannounced\": {}, \"p50_ms\": {:.3f}, \"p99_ms\": {:.3f}, "
      "\"p999_ms\": {:.3f}, \"worst_ms\": {:.3f}}}{}\n",
      name, t.asked, t.answered, t.failed(), t.failures(), t.closed_by_server(),
      t.closes_unannounced, t.percentile(.5), t.percentile(.99), t.percentile(.999),
      t.percentile(1), last ? "" : ",");
}

}  // namespace

int main(int argc, char** argv) try {
  std::signal(SIGPIPE, SIG_IGN);
  bench::load clients(parse(argc, argv));
  for (std::string name; std::getline(std::cin, name);) clients.phase(name);
  auto all = clients.stop();
  fmt::print("[\n");
  for (auto& [name, counts] : all) print(name, counts, &counts == &all.back().second);
  fmt::print("]\n");
  return 0;
} catch (const std::exception& e) {
  fmt::print(stderr, "{}\n", e.what());
  return 1;
}
