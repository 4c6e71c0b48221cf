// Groups and needs of a configuration: what they say, where they are wrong, what a plan makes of
// it.
#include "group_words.hpp"

#include <boost/test/unit_test.hpp>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>

#include "plan.hpp"

BOOST_AUTO_TEST_SUITE(group_words)

using strings = std::vector<std::string>;
using namespace std::chrono_literals;

namespace {

const std::string pools = R"([pool.db]
command = ["db"]
[pool.web]
command = ["web"]
needs = ["db", "migrate:completed"]
[pool.migrate]
command = ["migrate"]
)";

app::configuration good(const std::string& document) {
  auto got = app::read_configuration(document, app::inspect_alone);
  for (auto& c : got.complaints) BOOST_ERROR(c.at.line << ":" << c.at.column << ": " << c.text);
  return got.wanted;
}

strings complaints(const std::string& document) {
  strings lines;
  for (auto& c : app::read_configuration(document, app::inspect_alone).complaints)
    lines.push_back(std::to_string(c.at.line) + ":" + std::to_string(c.at.column) + ": " + c.text);
  return lines;
}

strings changes(const std::string& running, const std::string& wanted) {
  return describe(app::make_plan(good(running), good(wanted)));
}

}  // namespace

BOOST_AUTO_TEST_CASE(everything_can_be_said) {
  auto said = good(pools + R"(
[group.shop]
strategy = "rest_for_one"
members = ["migrate", "inner", "web"]
intensity = "3/2m"
start-rate = "20/50"
transient = ["migrate"]
temporary = ["web"]
significant = ["migrate", "web"]
ends = "all_significant"

[group.inner]
members = ["db"]
)");
  using supervisor::need;
  auto& needs = said.pools[1].said.what.needs;
  BOOST_REQUIRE(needs.size() == 2u);
  BOOST_TEST(needs[0].pool == "db");
  BOOST_CHECK(needs[0].what == need::ready);
  BOOST_TEST(needs[1].pool == "migrate");
  BOOST_CHECK(needs[1].what == need::completed);

  BOOST_REQUIRE(said.groups.size() == 2u);
  BOOST_TEST((app::pools_in(said.groups[0], said.groups) == strings{"migrate", "db", "web"}));
  auto roots = app::roots_of(said.groups);
  BOOST_REQUIRE(roots.size() == 1u);
  auto made = app::spec_of(*roots[0], said.groups, [](auto& name) {
    return supervisor::child_spec::pool(name, supervisor::spec("serve"), 2);
  });
  using supervisor::restart_type;
  BOOST_CHECK(made.restarts == supervisor::strategy::rest_for_one);
  BOOST_TEST(made.most_restarts == 3u);
  BOOST_CHECK(made.period == 2min);
  BOOST_TEST(made.starts.value().burst == 50u);
  BOOST_CHECK(made.shutdown == supervisor::auto_shutdown::all_significant);
  BOOST_REQUIRE(made.children.size() == 3u);
  BOOST_CHECK(made.children[0].type == restart_type::transient);
  BOOST_TEST(made.children[0].is_significant);
  BOOST_CHECK(made.children[1].what == supervisor::child_spec::kind::group);
  BOOST_CHECK(made.children[1].type == restart_type::permanent);
  BOOST_TEST(made.children[1].children->children.at(0).name == "db");
  BOOST_CHECK(made.children[2].type == restart_type::temporary);
  BOOST_TEST(!find_fault(made));
}

BOOST_AUTO_TEST_CASE(mistakes_are_told_with_their_place_and_the_way_out) {
  const std::string a = "[pool.a]\ncommand = ['x']\n", ab = a + "[pool.b]\ncommand = ['x']\n";
  struct {
    std::string document;
    strings told;
  } const rows[] = {
      {a + "[group.g]\n", {"3:8: group g has no members; write members = [\"POOL\"]"}},
      {a + "[group.g]\nmembers = ['a', 'bb']\n",
       {"4:17: members: there is no pool or group \"bb\"; write [pool.bb]"}},
      {ab + "[group.g]\nmembers = ['a', 'a']\n",
       {"6:17: members: a is in group g already, see line 6"}},
      {ab + "[group.g]\nmembers = ['a']\n[group.h]\nmembers = ['b', 'a']\n",
       {"8:17: members: a is in group g already, see line 6"}},
      {a + "[group.g]\nmembers = ['h']\n[group.h]\nmembers = ['a', 'g']\n",
       {"4:12: members: group h is within itself", "6:17: members: group g is within itself"}},
      {a + "[group.a]\nmembers = ['a']\n",
       {"3:8: there is a pool a too; give the group another name",
        "4:12: members: group a is within itself"}},
      {a + "[group.g]\nmembers = 'a'\nstrategy = 'all'\n",
       {"3:8: group g has no members; write members = [\"POOL\"]",
        "4:1: members: write members = [\"NAME\"]",
        "5:1: strategy: \"all\" is not one_for_one, one_for_all or rest_for_one"}},
      {a + "[group.g]\nmembers = ['a', 5]\nstratgy = 'one_for_all'\n",
       {"4:17: members: an element is no string; write [\"NAME\"]",
        "5:1: unknown key \"stratgy\"; did you mean strategy?"}},
      {a + "[group.g]\nmembers = ['a']\nintensity = 5\nends = 'soon'\nstart-rate = 'x'\n",
       {"5:1: intensity: \"5\" is not restarts within a time, such as 5/60s",
        "6:1: ends: \"soon\" is not never, any_significant or all_significant",
        "7:1: start-rate: \"x\" is not starts a second, such as 20, or 20/50 for at most 50 at "
        "once"}},
      {a + "[group.g]\nmembers = ['a']\nintensity = '5/0'\n",
       {"5:1: intensity: \"5/0\" is not restarts within a time, such as 5/60s"}},
      {a + "[group.g]\nmembers = ['a']\ntransient = ['b']\n",
       {"3:8: group g: b is not one of its members"}},
      {a + "[group.g]\nmembers = ['a']\nsignificant = ['a']\n",
       {"3:8: group g: child a is significant, and permanent: it would never end for good"}},
      {a + "[group.g]\nmembers = ['a']\ntransient = ['a']\nsignificant = ['a']\n",
       {"3:8: group g: child a is significant, but its group never shuts itself down"}},
      {"group = 3\n" + a, {"1:1: group is a number, not a table; write [group.NAME]"}},
      {a + "[group]\ng = 3\n", {"4:1: g is a number, not a table; write [group.g]"}},
      {a + "needs = ['mail']\n", {"3:10: needs: there is no pool \"mail\"; write [pool.mail]"}},
      {ab + "needs = ['a:soon']\n",
       {"5:10: needs: \"a:soon\" is not POOL, or POOL:started, :ready, :healthy or :completed"}},
      {a + "needs = ['a']\n", {"3:10: needs: pool a needs itself, by way of a"}},
      {a + "needs = ['b']\n[pool.b]\ncommand = ['x']\nneeds = ['a:started']\n",
       {"3:10: needs: pool a needs itself, by way of b",
        "6:10: needs: pool b needs itself, by way of a"}},
      {a + "needs = ['b']\n[pool.b]\ncommand = ['x']\n[group.g]\nmembers = ['a', 'b']\n",
       {"3:10: needs: group g starts b when a runs; put it before that"}},
      {a + "needs = ['b']\n[pool.b]\ncommand = ['x']\n[group.g]\nmembers = ['b', 'a']\n", {}},
  };
  for (auto& row : rows)
    BOOST_TEST(complaints(row.document) == row.told, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_plan_tells_what_becomes_of_groups) {
  auto with = [](const std::string& group) { return pools + group; };
  const std::string one = "[group.shop]\nmembers = ['db', 'migrate']\n";
  struct {
    std::string running, wanted;
    strings told;
  } const rows[] = {
      {"", one, {"+ group shop: one_for_one of db, migrate"}},
      {one, one, {}},
      {one, "", {"- group shop: what stays of it goes on without"}},
      {one,
       one + "strategy = 'one_for_all'\nintensity = '1/1s'\n",
       {"~ group shop: goes on otherwise (strategy, intensity)"}},
      {one,
       "[group.shop]\nmembers = ['migrate', 'db']\n",
       {"~ group shop: goes on otherwise (members)"}},
      {one,
       "[group.stock]\nmembers = ['db', 'migrate']\n",
       {"+ group stock: one_for_one of db, migrate",
        "- group shop: what stays of it goes on without"}},
  };
  for (auto& row : rows) BOOST_TEST_CONTEXT(row.running << "->" << row.wanted) {
      BOOST_TEST(changes(with(row.running), with(row.wanted)) == row.told,
                 boost::test_tools::per_element());
      auto made = app::make_plan(good(with(row.running)), good(with(row.wanted)));
      BOOST_TEST(made.empty() == row.told.empty());
      for (auto& pool : made.pools) BOOST_CHECK(pool.what == app::pool_change::kind::unchanged);
    }
  // Each key is a reason of its own.
  const std::pair<std::string, std::string> values[] = {
      {"strategy", "'one_for_all'"}, {"members", "['db', 'web', 'migrate']"},
      {"intensity", "'9/9s'"},       {"start-rate", "9"},
      {"transient", "['db']"},       {"temporary", "['db']"},
      {"ends", "'any_significant'"}};
  for (auto& [key, value] : values) {
    auto before = key == "members" ? "[group.shop]\n" : one;
    auto fresh = with(before + key + " = " + value + "\n");
    if (key == "members") fresh.replace(fresh.find("needs"), 5, "#");
    auto base = with(one);
    if (key == "members") base.replace(base.find("needs"), 5, "#");
    BOOST_TEST((changes(base, fresh) == strings{"~ group shop: goes on otherwise (" + key + ")"}),
               key);
  }
}

BOOST_AUTO_TEST_CASE(trees_are_alike_down_to_the_last_group) {
  const std::string outer = "[group.outer]\nmembers = ['inner', 'web']\n";
  auto a = good(pools + outer + "[group.inner]\nmembers = ['db', 'migrate']\n").groups;
  auto b = good(pools + outer + "[group.inner]\nmembers = ['db', 'migrate']\nintensity = '1/1s'\n")
               .groups;
  BOOST_TEST(app::same_tree("outer", a, a));
  BOOST_TEST(!app::same_tree("outer", a, b));
  BOOST_TEST(!app::same_tree("outer", a, {}));
}

BOOST_AUTO_TEST_CASE(the_reference_has_exactly_the_keys_there_are) {
  std::ifstream file(TEST_SOURCE "/libsupervisor/doc/configuration.md");
  std::string page{std::istreambuf_iterator<char>(file), {}};
  auto from = page.find("\n| key of a group |");
  BOOST_REQUIRE(from != page.npos);
  auto table = page.substr(from, page.find("\n\n", from) - from);
  std::set<std::string> told, known;
  const std::regex key("\n\\| `([a-z-]+)`");
  for (std::sregex_iterator it(table.begin(), table.end(), key), end; it != end; ++it)
    told.insert((*it)[1]);
  for (auto& each : app::group_keys()) known.insert(each.name);
  BOOST_TEST(told == known, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()
