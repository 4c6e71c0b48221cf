#include "config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <tuple>

#include "nearest.hpp"
#include "scaling_words.hpp"
#include "values.hpp"

namespace app {

namespace {

namespace sup = supervisor;
using kind = toml_value::kind;
using shape = setting::shape;
using subject = setting::subject;

struct placed_word : word {
  placed_word(const setting& s, place p, std::string text)
      : word(s, s.name, std::move(text)), at(p) {}
  place at;
};

std::string_view name_of_kind(kind what) {
  switch (what) {
    case kind::text:
      return "a string";
    case kind::number:
      return "a number";
    case kind::flag:
      return "true or false";
    case kind::list:
      return "an array";
    case kind::table:
      return "a table";
    case kind::time:
      break;
  }
  return "a date or a time";
}

/// How a value of that shape is written.
std::string example(const setting& s, const toml_value& value) {
  auto name = std::string_view(s.name);
  bool scalar = value.what == kind::text || value.what == kind::number;
  auto text = scalar ? value.text : "...";
  switch (s.form) {
    case shape::text:
      return fmt::format("{} = \"{}\"", name, text);
    case shape::number:
      return fmt::format("{} = 5, or {} = \"...\"", name, name);
    case shape::flag:
      return fmt::format("{} = true", name);
    case shape::list:
      return fmt::format("{} = [\"{}\"]", name, text);
    case shape::table:
      break;
  }
  return fmt::format("{} = {{ NAME = \"...\" }}", name);
}

bool fits(shape form, kind what) {
  switch (form) {
    case shape::text:
      return what == kind::text;
    case shape::number:
      return what == kind::text || what == kind::number;
    case shape::flag:
      return what == kind::flag;
    case shape::list:
      return what == kind::list;
    case shape::table:
      break;
  }
  return what == kind::table;
}

class reader {
 public:
  explicit reader(const pool_inspection& inspect) : inspect_(inspect) {}
  reading read(std::string_view document);

 private:
  using words = std::vector<placed_word>;

  void complain_at(place at, std::string text) {
    all_.complaints.emplace_back(at, std::move(text));
  }
  void complain_unknown(const toml_entry&, std::string_view what,
                        const std::vector<std::string>& known);
  const toml_value* table_of(const toml_entry&, std::string_view example);

  words read_settings(const toml_value& table, bool of_master);
  void read_words(const setting&, const toml_entry&, words& into);
  void read_master(const toml_entry&);
  void read_listeners(const toml_entry&);
  void read_listener(const toml_entry&, std::map<std::string, place>& addresses);
  void read_pools(const toml_entry&);
  void read_groups(const toml_entry&);
  void read_pool(const toml_entry&);
  void check_together();
  void check_listeners(const words&);
  void check_whole(const toml_entry&, const words&, const run_request&);
  words with_defaults(words own) const;
  void say_all(const words&, run_request& into, const pool_inspection&);

  const pool_inspection& inspect_;
  reading all_;
  words defaults_;
  std::vector<said_name> members_, needs_;
  std::vector<std::string> listeners_;  ///< names, also of those with a wrong address
};

void reader::complain_unknown(const toml_entry& entry, std::string_view what,
                              const std::vector<std::string>& known) {
  auto near = nearest(entry.key, known);
  auto way_out = near.empty() ? fmt::format("known are {}", fmt::join(known, ", "))
                              : fmt::format("did you mean {}?", near);
  complain_at(entry.at, fmt::format("unknown {} \"{}\"; {}", what, entry.key, way_out));
}

const toml_value* reader::table_of(const toml_entry& entry, std::string_view header) {
  if (entry.value.what == kind::table) return &entry.value;
  complain_at(entry.at, fmt::format("{} is {}, not a table; write {}", entry.key,
                                    name_of_kind(entry.value.what), header));
  return nullptr;
}

// --- settings

reader::words reader::read_settings(const toml_value& table, bool of_master) {
  words found;
  std::vector<std::string> known;
  for (auto& s : settings())
    if ((s.of == subject::master) == of_master) known.emplace_back(s.name);
  for (auto& entry : table.entries) {
    if (std::ranges::find(known, entry.key) == known.end())
      complain_unknown(entry, "key", known);
    else
      read_words(find_setting(entry.key), entry, found);
  }
  return found;
}

void reader::read_words(const setting& s, const toml_entry& entry, words& into) {
  auto& value = entry.value;
  auto wrong = [&](place at, const toml_value& found, std::string_view of) {
    complain_at(at, fmt::format("{}{} is {}; write {}", of, s.name, name_of_kind(found.what),
                                example(s, found)));
  };
  if (!fits(s.form, value.what)) return wrong(entry.at, value, "");
  if (s.form == shape::list) {
    for (auto& element : value.elements) {
      if (element.what == kind::text)
        into.emplace_back(s, element.at, element.text);
      else
        wrong(element.at, element, "an element of ");
    }
    // That there are none can be said of listeners.
    if (value.elements.empty() && entry.key == "listeners") into.emplace_back(s, entry.at, "");
  } else if (s.form == shape::table) {
    for (auto& member : value.entries) {
      if (member.value.what == kind::text || member.value.what == kind::number)
        into.emplace_back(s, member.at, member.key + "=" + member.value.text);
      else
        complain_at(member.at, fmt::format("{} of {} is {}; write {} = \"...\"", member.key, s.name,
                                           name_of_kind(member.value.what), member.key));
    }
  } else {
    into.emplace_back(s, entry.at, value.text);
  }
}

void reader::say_all(const words& said, run_request& into, const pool_inspection& inspect) {
  std::vector<word> plain(said.begin(), said.end());
  auto here = [&](auto& what) { return inspect(what, all_.wanted.master.prefork.listeners); };
  for (auto& objection : say(plain, into, here))
    complain_at(said[objection.to].at, std::move(objection.text));
}

// --- the master and its listeners

void reader::read_master(const toml_entry& entry) {
  auto* table = table_of(entry, "[master]");
  if (table) say_all(read_settings(*table, true), all_.wanted.master, inspect_alone);
}

void reader::read_listeners(const toml_entry& entry) {
  auto* table = table_of(entry, "[listeners]");
  std::map<std::string, place> addresses;
  if (!table) return;
  for (auto& each : table->entries) {
    listeners_.push_back(each.key);
    read_listener(each, addresses);
  }
}

void reader::read_listener(const toml_entry& entry, std::map<std::string, place>& addresses) {
  if (entry.value.what != kind::text)
    return complain_at(entry.at, fmt::format("listener {} is {}; write {} = \"127.0.0.1:8080\"",
                                             entry.key, name_of_kind(entry.value.what), entry.key));
  try {
    auto listener = sup::listener_spec::parse(entry.key + "=" + entry.value.text);
    if (listener.host == "localhost") listener.host = "127.0.0.1";
    bool any_port = listener.kind == sup::listener_spec::family::tcp && listener.port == 0;
    auto [other, fresh] = addresses.emplace(listener.address(), entry.at);
    if (!fresh && !any_port)
      return complain_at(
          entry.at,
          fmt::format("listener {} has the address of the one in line {}; give it another, "
                      "or give workers that one",
                      entry.key, other->second.line));
    all_.wanted.master.prefork.listeners.push_back(std::move(listener));
  } catch (const std::invalid_argument& error) {
    complain_at(entry.at, error.what());
  }
}

// --- pools

void reader::read_pools(const toml_entry& entry) {
  auto* table = table_of(entry, "[pool.NAME]");
  if (!table) return;
  for (auto& each : table->entries) read_pool(each);
}

void reader::read_pool(const toml_entry& entry) {
  auto* table = table_of(entry, "[pool." + entry.key + "]");
  if (!table) return;
  try {
    if (name_of("pool", entry.key).find('.') != std::string::npos)
      complain_at(
          entry.at,
          fmt::format("pool: \"{}\" is not a name of letters, digits, '-' and '_'", entry.key));
  } catch (const std::invalid_argument& error) {
    complain_at(entry.at, error.what());
  }
  auto said = with_defaults(read_settings(*table, false));
  check_listeners(said);
  run_request request;
  request.what.listeners = listeners_;
  auto given = [&](std::string_view name) {
    return std::ranges::any_of(said, [&](auto& w) { return w.what->name == name; });
  };
  if (given("listeners")) request.what.listeners.emplace();
  say_all(said, request, inspect_);
  check_whole(entry, said, request);
  for (auto& w : said)
    if (w.what->name == std::string_view("needs"))
      needs_.emplace_back(entry.key, w.text.substr(0, w.text.find(':')), w.at);
  auto first = scaling_of("scale", request.scale, request.prefork.workers).first;
  all_.wanted.pools.emplace_back(entry.key, std::move(request)).size = first;
}

reader::words reader::with_defaults(words own) const {
  auto key_of = [](const placed_word& w) {
    bool named = w.what->form == shape::table;
    return std::pair(w.what, named ? w.text.substr(0, w.text.find('=')) : std::string());
  };
  std::set<std::pair<const setting*, std::string>> said;
  for (auto& w : own) said.insert(key_of(w));
  for (auto& w : defaults_)
    if (!said.contains(key_of(w))) own.push_back(w);
  return own;
}

void reader::check_listeners(const words& said) {
  for (auto& w : said) {
    if (w.what != &find_setting("listeners") || w.text.empty()) continue;
    if (std::ranges::find(listeners_, w.text) != listeners_.end()) continue;
    auto near = nearest(w.text, listeners_);
    complain_at(w.at, fmt::format("there is no listener \"{}\"; {}", w.text,
                                  near.empty()
                                      ? fmt::format("write {} = \"ADDR\" below [listeners]", w.text)
                                      : fmt::format("did you mean {}?", near)));
  }
}

/// What only the pool as a whole shows.
void reader::check_whole(const toml_entry& entry, const words& said, const run_request& pool) {
  auto of = [&](std::string_view name) {
    return std::ranges::find_if(said, [&](auto& w) { return w.what->name == name; });
  };
  auto demo = of("demo"), command = of("command");
  bool is_demo = demo != said.end() && demo->text == "true";
  if (is_demo && command != said.end())
    complain_at(demo->at, "demo: the pool has a command; give one of the two");
  else if (!is_demo && command == said.end())
    complain_at(entry.at, fmt::format("pool {} has no command; write command = [\"PROGRAM\", "
                                      "\"ARGUMENT\"]",
                                      entry.key));
  else if (is_demo && !std::ranges::count(*pool.what.listeners, "http"))
    complain_at(demo->at,
                "demo: it serves the listener named http; write http = \"ADDR\" below "
                "[listeners], and give it that");
}

void reader::read_groups(const toml_entry& entry) {
  auto* table = table_of(entry, "[group.NAME]");
  if (!table) return;
  auto complain = [this](place at, std::string text) { complain_at(at, std::move(text)); };
  for (auto& each : table->entries) {
    if (!table_of(each, "[group." + each.key + "]")) continue;
    auto same = [&](auto& pool) { return pool.name == each.key; };
    if (std::ranges::any_of(all_.wanted.pools, same))
      complain_at(each.at,
                  fmt::format("there is a pool {} too; give the group another name", each.key));
    all_.wanted.groups.push_back(read_group(each, members_, complain));
  }
}

void reader::check_together() {
  auto complain = [this](place at, std::string text) { complain_at(at, std::move(text)); };
  std::vector<std::string> pools;
  for (auto& pool : all_.wanted.pools) pools.push_back(pool.name);
  auto before = all_.complaints.size();
  check_groups(all_.wanted.groups, pools, members_, complain);
  // A tree that is none has no order.
  bool wrong = all_.complaints.size() > before;
  for (auto& said : members_)
    for (auto& pool : all_.wanted.pools) pool.in_group |= pool.name == said.name;
  check_needs(wrong ? std::vector<named_group>() : all_.wanted.groups, pools, needs_, complain);
}

// --- the whole

reading reader::read(std::string_view document) {
  std::optional<complaint> broken;
  auto top = parse_toml(document, broken);
  if (broken) {
    all_.complaints.push_back(std::move(*broken));
    return std::move(all_);
  }
  const std::vector<std::string> known{"master", "listeners", "defaults", "pool", "group"};
  auto of = [&](std::string_view name) {
    return std::ranges::find(top.entries, name, &toml_entry::key);
  };
  // What pools need comes first, wherever it stands.
  auto none = top.entries.end();
  if (auto it = of("master"); it != none) read_master(*it);
  if (auto it = of("listeners"); it != none) read_listeners(*it);
  if (auto it = of("defaults"); it != none)
    if (auto* table = table_of(*it, "[defaults]")) defaults_ = read_settings(*table, false);
  if (auto it = of("pool"); it != none) read_pools(*it);
  if (auto it = of("group"); it != none) read_groups(*it);
  check_together();
  for (auto& entry : top.entries)
    if (std::ranges::find(known, entry.key) == known.end()) complain_unknown(entry, "table", known);
  if (of("pool") == none)
    complain_at({}, "there is no pool; write [pool.web] and, below it, command = [\"PROGRAM\"]");

  // What is wrong with a default is wrong once, however many pools have it.
  std::ranges::sort(all_.complaints, {}, [](auto& c) { return std::tie(c.at, c.text); });
  auto twice = std::ranges::unique(all_.complaints);
  all_.complaints.erase(twice.begin(), twice.end());
  return std::move(all_);
}

}  // namespace

reading read_configuration(std::string_view document, const pool_inspection& inspect) {
  return reader(inspect).read(document);
}

std::optional<std::string> inspect_alone(const sup::spec& what, const listener_list&) {
  return sup::find_fault(what);
}

std::optional<std::string> inspect_here(const sup::spec& what, const listener_list& listeners) {
  auto fault = sup::find_fault(what);
  if (fault) return fault;
  auto missing = sup::find_missing(what, listeners);
  return missing ? std::optional(missing->text) : std::nullopt;
}

configuration load_configuration(const std::string& file, const pool_inspection& inspect) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream document;
  if (!stream || (stream.peek(), stream.bad()))
    throw bad_configuration(fmt::format("{}: {}", file, std::strerror(errno)));
  if (!stream.eof()) document << stream.rdbuf();
  auto read = read_configuration(document.str(), inspect);
  std::string words;
  for (auto& c : read.complaints)
    words += fmt::format("{}{}:{}:{}: {}", words.empty() ? "" : "\n", file, c.at.line, c.at.column,
                         c.text);
  if (!words.empty()) throw bad_configuration(words);
  return std::move(read.wanted);
}

}  // namespace app
