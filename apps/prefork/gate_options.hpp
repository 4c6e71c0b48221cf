// How a rollout is to go, on the command line of the verbs that begin one.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>

namespace CLI {
class App;
}

namespace app {

struct gate_texts {
  std::string canary, bake, bake_check, batch, max_unavailable, progress_deadline;
};

void add_gate_options(CLI::App&, gate_texts&);
/// What is said, as members of a request. Throws std::invalid_argument.
void write_gate(const gate_texts&, boost::json::object& body);
/// A number of workers or generations; complains of another.
unsigned count_of(const std::string& option, const std::string& text, unsigned least);

}  // namespace app
