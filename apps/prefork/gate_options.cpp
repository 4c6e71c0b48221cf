#include "gate_options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <boost/json/object.hpp>

#include "health_words.hpp"
#include "values.hpp"

namespace app {

namespace {

namespace sup = supervisor;

auto count(const char* option, unsigned least = 0) {
  return [option, least](const std::string& text) { return count_of(option, text, least); };
}
auto seconds(const char* option) {
  return [option](const std::string& text) {
    return std::chrono::duration<double>(duration_of(option, text)).count();
  };
}

}  // namespace

unsigned count_of(const std::string& option, const std::string& text, unsigned least) {
  auto count = number_of<unsigned>(text);
  if (!count || *count < least || *count > sup::most_workers)
    complain(fmt::format("{}: \"{}\" is not a number from {} to {}", option, text, least,
                         sup::most_workers));
  return *count;
}

void add_gate_options(CLI::App& verb, gate_texts& t) {
  auto add = [&](const char* name, std::string& value, const char* type, const char* help) {
    verb.add_option(name, value, help)->type_name(type)->take_last();
  };
  add("--canary", t.canary, "N", "new workers that come first; 0: none (default 1)");
  add("--bake", t.bake, "TIME",
      "how long those serve, watched, before an old one leaves (default 0)");
  add("--bake-check", t.bake_check, "PROBE",
      "which they pass meanwhile, once a second, such as http://ADDR/PATH (default: none)");
  add("--batch", t.batch, "N", "after those, so many are replaced at a time (default 1)");
  add("--max-unavailable", t.max_unavailable, "N",
      "0: new ones come first; N: old ones leave first, N at most are missing (default 0)");
  add("--progress-deadline", t.progress_deadline, "TIME",
      "give up where nothing moves for so long; 0: never (default 10m)");
}

void write_gate(const gate_texts& t, boost::json::object& body) {
  auto write = [&](const char* name, const std::string& text, auto how) {
    if (!text.empty()) body[name] = how(text);
  };
  write("canary", t.canary, count("--canary"));
  write("bake_s", t.bake, seconds("--bake"));
  write("bake_check", t.bake_check,
        [](const std::string& text) { return probe_of("--bake-check", text).str(); });
  write("batch", t.batch, count("--batch", 1));
  write("max_unavailable", t.max_unavailable, count("--max-unavailable"));
  write("progress_deadline_s", t.progress_deadline, seconds("--progress-deadline"));
}

}  // namespace app
