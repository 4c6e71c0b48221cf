#include "group_words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <stdexcept>

#include "nearest.hpp"
#include "restart_words.hpp"
#include "values.hpp"

namespace app {

namespace {

namespace sup = supervisor;
using kind = toml_value::kind;
using strings = std::vector<std::string>;

std::optional<sup::strategy> strategy_of(const std::string& text) {
  using enum sup::strategy;
  for (auto s : {one_for_one, one_for_all, rest_for_one})
    if (to_string(s) == text) return s;
  return {};
}

std::optional<sup::auto_shutdown> ends_of(const std::string& text) {
  if (text == "never") return sup::auto_shutdown::never;
  if (text == "any_significant") return sup::auto_shutdown::any_significant;
  if (text == "all_significant") return sup::auto_shutdown::all_significant;
  return {};
}

/// "5/60s"
std::optional<std::pair<unsigned, sup::duration>> intensity_of(const std::string& text) {
  auto slash = text.find('/');
  auto most = number_of<unsigned>(std::string_view(text).substr(0, slash));
  auto period = slash == text.npos ? std::nullopt : parse_duration(text.substr(slash + 1));
  if (!most || !period || *period == sup::duration{}) return {};
  return std::pair(*most, *period);
}

std::string refuse(const std::string& text, std::string_view should_be) {
  return fmt::format("\"{}\" is not {}", text, should_be);
}

std::string take_strategy(named_group& g, const std::string& text) {
  g.strategy = text;
  return strategy_of(text) ? "" : refuse(text, "one_for_one, one_for_all or rest_for_one");
}
std::string take_ends(named_group& g, const std::string& text) {
  g.ends = text;
  return ends_of(text) ? "" : refuse(text, "never, any_significant or all_significant");
}
std::string take_intensity(named_group& g, const std::string& text) {
  g.intensity = text;
  return intensity_of(text) ? "" : refuse(text, "restarts within a time, such as 5/60s");
}
std::string take_start_rate(named_group& g, const std::string& text) {
  g.start_rate = text;
  try {
    static_cast<void>(start_rate_of("start-rate", text));
  } catch (const std::invalid_argument&) {
    return refuse(text, "starts a second, such as 20, or 20/50 for at most 50 at once");
  }
  return {};
}
template <auto Names>
std::string take_name(named_group& g, const std::string& text) {
  (g.*Names).push_back(text);
  return {};
}
template <auto Member>
bool same(const named_group& a, const named_group& b) {
  return a.*Member == b.*Member;
}

bool contains(const strings& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

std::string or_nearest(const std::string& name, const strings& known, std::string_view otherwise) {
  auto near = nearest(name, known);
  return near.empty() ? std::string(otherwise) : fmt::format("did you mean {}?", near);
}

/// By way of `next`, from `from` to itself.
bool in_circle(const std::string& from, const std::function<strings(const std::string&)>& next) {
  std::set<std::string> seen;
  auto open = next(from);
  while (!open.empty()) {
    auto name = std::move(open.back());
    open.pop_back();
    if (name == from) return true;
    if (!seen.insert(name).second) continue;
    for (auto& more : next(name)) open.push_back(more);
  }
  return false;
}

void complain_of_significance(const named_group& g, place at, const complain_to& complain) {
  for (auto& name : g.significant) {
    if (!contains(g.members, name)) continue;
    bool permanent = !contains(g.transient, name) && !contains(g.temporary, name);
    if (permanent)
      complain(at, fmt::format("group {}: child {} is significant, and permanent: it would never "
                               "end for good",
                               g.name, name));
    else if (g.ends == "never")
      complain(at,
               fmt::format("group {}: child {} is significant, but its group never shuts itself "
                           "down",
                           g.name, name));
  }
}

}  // namespace

const std::vector<group_key>& group_keys() {
  using g = named_group;
  static const std::vector<group_key> all{
      {"strategy", false, take_strategy, same<&g::strategy>},
      {"members", true, take_name<&g::members>, same<&g::members>},
      {"intensity", false, take_intensity, same<&g::intensity>},
      {"start-rate", false, take_start_rate, same<&g::start_rate>},
      {"transient", true, take_name<&g::transient>, same<&g::transient>},
      {"temporary", true, take_name<&g::temporary>, same<&g::temporary>},
      {"significant", true, take_name<&g::significant>, same<&g::significant>},
      {"ends", false, take_ends, same<&g::ends>}};
  return all;
}

named_group read_group(const toml_entry& entry, std::vector<said_name>& members,
                       const complain_to& complain) {
  named_group group(entry.key);
  strings known;
  for (auto& key : group_keys()) known.emplace_back(key.name);
  for (auto& said : entry.value.entries) {
    auto key =
        std::ranges::find(group_keys(), said.key, [](auto& k) { return std::string(k.name); });
    if (key == group_keys().end()) {
      complain(said.at,
               fmt::format("unknown key \"{}\"; {}", said.key,
                           or_nearest(said.key, known,
                                      fmt::format("known are {}", fmt::join(known, ", ")))));
      continue;
    }
    bool scalar = said.value.what == kind::text || said.value.what == kind::number;
    if (key->is_list ? said.value.what != kind::list : !scalar) {
      complain(said.at, fmt::format("{}: write {} = {}", said.key, said.key,
                                    key->is_list ? "[\"NAME\"]" : "\"...\""));
      continue;
    }
    std::vector<const toml_value*> values;
    if (!key->is_list) values.push_back(&said.value);
    for (auto& element : said.value.elements) values.push_back(&element);
    for (auto* value : values) {
      auto at = key->is_list ? value->at : said.at;
      if (key->is_list && value->what != kind::text) {
        complain(at, fmt::format("{}: an element is no string; write [\"NAME\"]", said.key));
        continue;
      }
      auto wrong = key->take(group, value->text);
      if (!wrong.empty()) complain(at, fmt::format("{}: {}", said.key, wrong));
      if (said.key == "members") members.emplace_back(group.name, value->text, at);
    }
  }
  if (group.members.empty())
    complain(entry.at,
             fmt::format("group {} has no members; write members = [\"POOL\"]", entry.key));
  for (auto* names : {&group.transient, &group.temporary, &group.significant})
    for (auto& name : *names)
      if (!contains(group.members, name))
        complain(entry.at, fmt::format("group {}: {} is not one of its members", entry.key, name));
  complain_of_significance(group, entry.at, complain);
  return group;
}

const named_group* find_group(const std::vector<named_group>& all, std::string_view name) {
  auto it = std::ranges::find(all, name, &named_group::name);
  return it == all.end() ? nullptr : &*it;
}

void check_groups(const std::vector<named_group>& all, const strings& pools,
                  const std::vector<said_name>& members, const complain_to& complain) {
  auto known = pools;
  for (auto& g : all) known.push_back(g.name);
  std::map<std::string, const said_name*> places;
  auto within = [&](const std::string& name) {
    auto* g = find_group(all, name);
    return g ? g->members : strings();
  };
  for (auto& said : members) {
    auto [other, fresh] = places.emplace(said.name, &said);
    if (!contains(known, said.name))
      complain(said.at, fmt::format("members: there is no pool or group \"{}\"; {}", said.name,
                                    or_nearest(said.name, known,
                                               fmt::format("write [pool.{}]", said.name))));
    else if (!fresh)
      complain(said.at, fmt::format("members: {} is in group {} already, see line {}", said.name,
                                    other->second->of, other->second->at.line));
    else if (find_group(all, said.name) && in_circle(said.name, within))
      complain(said.at, fmt::format("members: group {} is within itself", said.name));
  }
}

void check_needs(const std::vector<named_group>& all, const strings& pools,
                 const std::vector<said_name>& needs, const complain_to& complain) {
  std::map<std::string, std::pair<const named_group*, std::size_t>> places;
  for (auto* root : roots_of(all)) {
    auto names = pools_in(*root, all);
    for (std::size_t i = 0; i < names.size(); ++i) places[names[i]] = {root, i};
  }
  auto needed_by = [&](const std::string& name) {
    strings names;
    for (auto& said : needs)
      if (said.of == name) names.push_back(said.name);
    return names;
  };
  for (auto& said : needs) {
    auto mine = places.find(said.of), its = places.find(said.name);
    bool together =
        mine != places.end() && its != places.end() && mine->second.first == its->second.first;
    if (!contains(pools, said.name))
      complain(said.at, fmt::format("needs: there is no pool \"{}\"; {}", said.name,
                                    or_nearest(said.name, pools,
                                               fmt::format("write [pool.{}]", said.name))));
    else if (in_circle(said.of, needed_by))
      complain(said.at,
               fmt::format("needs: pool {} needs itself, by way of {}", said.of, said.name));
    else if (together && its->second.second > mine->second.second)
      complain(said.at, fmt::format("needs: group {} starts {} when {} runs; put it before that",
                                    mine->second.first->name, said.name, said.of));
  }
}

std::vector<const named_group*> roots_of(const std::vector<named_group>& all) {
  std::vector<const named_group*> roots;
  for (auto& g : all) {
    auto has_it = [&](const named_group& other) { return contains(other.members, g.name); };
    if (std::ranges::none_of(all, has_it)) roots.push_back(&g);
  }
  return roots;
}

strings pools_in(const named_group& g, const std::vector<named_group>& all) {
  strings names;
  for (auto& member : g.members) {
    auto* within = find_group(all, member);
    for (auto& name : within ? pools_in(*within, all) : strings{member}) names.push_back(name);
  }
  return names;
}

bool same_tree(const std::string& root, const std::vector<named_group>& a,
               const std::vector<named_group>& b) {
  auto *one = find_group(a, root), *other = find_group(b, root);
  if (!one || !other) return one == other;
  return *one == *other &&
         std::ranges::all_of(one->members, [&](auto& member) { return same_tree(member, a, b); });
}

sup::group_spec spec_of(const named_group& g, const std::vector<named_group>& all,
                        const std::function<sup::child_spec(const std::string&)>& pool) {
  sup::group_spec made(*strategy_of(g.strategy));
  auto [most, period] = *intensity_of(g.intensity);
  made.intensity(most, period).ends(*ends_of(g.ends));
  if (!g.start_rate.empty()) made.start_at_most(start_rate_of("start-rate", g.start_rate));
  for (auto& member : g.members) {
    auto* within = find_group(all, member);
    auto child =
        within ? sup::child_spec::group(member, spec_of(*within, all, pool)) : pool(member);
    if (contains(g.transient, member)) child.transient();
    if (contains(g.temporary, member)) child.temporary();
    if (contains(g.significant, member)) child.significant();
    made.child(std::move(child));
  }
  return made;
}

}  // namespace app
