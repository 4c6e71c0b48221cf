// What can be said of a pool and of a master: by options of `prefork run`, and under the same names
// by the keys of a configuration.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "options.hpp"

namespace app {

struct setting {
  /// Of whom it is said: of a pool's workers, of how many there are, of when they are started, of
  /// how they are rolled, of a master.
  enum class subject : std::uint8_t { pool, size, start, rollout, master };
  /// What a configuration gives: a string; a string or a number; true or false; an array of
  /// strings; a table, each entry of which is said as NAME=VALUE.
  enum class shape : std::uint8_t { text, number, flag, list, table };

  const char* name;  ///< the key; the option is --name
  char letter;       ///< the option's short form; 0: none
  const char* type;  ///< of the option's value; null: there is no such option
  subject of;
  shape form;
  const char* help;
  /// Takes in one value (of a list, one element), as text. `called` is for complaints.
  void (*take)(const std::string& called, const std::string& text, run_request& into);
  /// Whether the workers of two pools, or two masters, are alike in it.
  bool (*same)(const run_request&, const run_request&);
};

/// In the order in which they are to be said.
std::span<const setting> settings();
/// One that there is.
const setting& find_setting(std::string_view name);

/// One value of a setting, as it was given. `called` is what complaints call it.
struct word {
  word(const setting& w, std::string c, std::string t)
      : what(&w), called(std::move(c)), text(std::move(t)) {}
  const setting* what;
  std::string called, text;
};

struct objection {
  objection(std::size_t n, std::string t) : to(n), text(std::move(t)) {}
  std::size_t to;  ///< index of the word
  std::string text;
};

/// Looks at what a pool's workers are to be; says what is wrong.
using inspection = std::function<std::optional<std::string>(const supervisor::spec&)>;

/// Says all words, in the order of the settings. What is wrong with them is returned, all of it,
/// and `into` is what it is without those words. What `inspect` finds in the whole is the fault of
/// the last word without which it is not found.
std::vector<objection> say(const std::vector<word>&, run_request& into, const inspection& inspect);

}  // namespace app
