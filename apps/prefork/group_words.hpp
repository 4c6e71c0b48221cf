// What a configuration says of a group, and what is wrong with several of them.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "supervisor/group.hpp"
#include "toml.hpp"

namespace app {

/// A group of pools and of other groups.
struct named_group {
  explicit named_group(std::string n) : name(std::move(n)) {}
  std::string name;
  std::string strategy = "one_for_one", ends = "never", intensity = "5/60s", start_rate;
  std::vector<std::string> members;  ///< from left to right
  std::vector<std::string> transient, temporary, significant;
  friend bool operator==(const named_group&, const named_group&) = default;
};

/// Each has a name, and a value of it in two groups; see setting.
struct group_key {
  const char* name;
  bool is_list;
  std::string (*take)(named_group&, const std::string& text);  ///< returns what is wrong
  bool (*same)(const named_group&, const named_group&);
};
const std::vector<group_key>& group_keys();

/// Where a name stands that is said of something.
struct said_name {
  said_name(std::string o, std::string n, place p) : of(std::move(o)), name(std::move(n)), at(p) {}
  std::string of, name;
  place at;
};

using complain_to = std::function<void(place, std::string)>;
/// Its table, with the place of each of its members.
named_group read_group(const toml_entry&, std::vector<said_name>& members, const complain_to&);

/// What only all groups together show: members that there are not, or twice, and circles.
void check_groups(const std::vector<named_group>&, const std::vector<std::string>& pools,
                  const std::vector<said_name>& members, const complain_to&);
/// The same of what pools need of others.
void check_needs(const std::vector<named_group>&, const std::vector<std::string>& pools,
                 const std::vector<said_name>& needs, const complain_to&);

/// Null where there is none.
const named_group* find_group(const std::vector<named_group>&, std::string_view name);
/// Those that are in no other.
std::vector<const named_group*> roots_of(const std::vector<named_group>&);
/// The pools in it and in the groups within it, from left to right.
std::vector<std::string> pools_in(const named_group&, const std::vector<named_group>& all);
/// Whether the trees of that name are alike in both, down to the last group.
bool same_tree(const std::string& root, const std::vector<named_group>& a,
               const std::vector<named_group>& b);
/// The group with its children; each pool is made by `pool`.
supervisor::group_spec spec_of(
    const named_group&, const std::vector<named_group>& all,
    const std::function<supervisor::child_spec(const std::string& pool)>& pool);

}  // namespace app
