// A configuration: several pools and what they listen on, from a TOML file.
#pragma once

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

/// `inspect` looks at what each pool's workers are to be.
reading read_configuration(std::string_view document, const inspection& inspect);

/// What makes no sense in itself; and what this machine has not.
std::optional<std::string> inspect_alone(const supervisor::spec&);
std::optional<std::string> inspect_here(const supervisor::spec&);

/// The words are the complaints, one a line: "FILE:3:5: unknown key ...".
struct bad_configuration : std::runtime_error {
  using runtime_error::runtime_error;
};
/// Throws bad_configuration, for a file that cannot be read too.
configuration load_configuration(const std::string& file, const inspection& inspect);

}  // namespace app
