// A configuration: several pools and what they listen on, from a TOML file.
#pragma once

#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "group_words.hpp"
#include "options.hpp"
#include "settings.hpp"
#include "toml.hpp"

namespace app {

struct named_pool {
  named_pool(std::string n, run_request r) : name(std::move(n)), said(std::move(r)) {}
  std::string name;
  run_request said;      ///< of which a pool's part counts
  unsigned size = 0;     ///< workers to begin with, or of one that runs: wanted now
  bool drained = false;  ///< of one that runs
  bool in_group = false;
};

/// What a master runs, or is to run.
struct configuration {
  configuration() { master.run.name = "prefork"; }
  run_request master;  ///< of which the master's part counts, and its listeners
  std::vector<named_pool> pools;
  std::vector<named_group> groups;
};

struct reading {
  configuration wanted;               ///< what it says apart from what is wrong
  std::vector<complaint> complaints;  ///< all there is to complain of, in the order of the file
};

using listener_list = std::vector<supervisor::listener_spec>;
/// Looks at what a pool's workers are to be, given all listeners; says what is wrong.
using pool_inspection =
    std::function<std::optional<std::string>(const supervisor::spec&, const listener_list&)>;
reading read_configuration(std::string_view document, const pool_inspection& inspect);

/// What makes no sense in itself; and what this machine has not.
std::optional<std::string> inspect_alone(const supervisor::spec&, const listener_list&);
std::optional<std::string> inspect_here(const supervisor::spec&, const listener_list&);

/// The words are the complaints, one a line: "FILE:3:5: unknown key ...".
struct bad_configuration : std::runtime_error {
  using runtime_error::runtime_error;
};
/// Throws bad_configuration, for a file that cannot be read too.
configuration load_configuration(const std::string& file, const pool_inspection& inspect);

}  // namespace app
