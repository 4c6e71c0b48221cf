#include "supervisor/recycle.hpp"

#include <boost/test/unit_test.hpp>
#include <limits>

using namespace supervisor;
using namespace std::chrono_literals;

namespace {

constexpr auto last_lot = recycle_lots - 1;

recycle_policy limits(std::uint64_t requests, duration age, std::uint64_t memory) {
  recycle_policy policy;
  policy.max_requests = requests;
  policy.max_age = age;
  policy.max_memory = memory;
  policy.jitter = 0.2;
  return policy;
}

struct facts_of : recycle_facts {
  facts_of& drew(unsigned l) { return lot = l, *this; }
  facts_of& asks() { return asked = true, *this; }
  facts_of& did(std::uint64_t n) { return requests = n, *this; }
  facts_of& lived(duration d) { return age = d, *this; }
  facts_of& weighs(std::uint64_t bytes, unsigned looks) {
    memory = bytes;
    heavy = looks;
    return *this;
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(recycle)

BOOST_AUTO_TEST_CASE(what_is_due) {
  const auto nothing = recycle_policy();
  const auto all = limits(1000, 1h, 1 << 20);
  const struct {
    const char* name;
    recycle_policy policy;
    recycle_facts facts;
    const char* why;
  } rows[] = {
      {"no limit", nothing, facts_of().did(1'000'000).lived(1000h).weighs(1 << 30, 9), ""},
      {"no limit, but it asks", nothing, facts_of().asks(), "it asked for it"},
      {"young", all, facts_of().did(999).lived(59min).weighs(1 << 20, 2), ""},
      {"requests", all, facts_of().did(1000), "1000 requests"},
      {"said so itself at its limit", all, facts_of().asks().did(1003), "1003 requests"},
      {"requests, the whole jitter", all, facts_of().drew(last_lot).did(801), "801 requests"},
      {"one fewer", all, facts_of().drew(last_lot).did(800), ""},
      {"age", all, facts_of().lived(1h), "its age, 1 h"},
      {"age, half the jitter", all, facts_of().drew(recycle_lots / 2).lived(54min),
       "its age, 54 min"},
      {"a moment less", all, facts_of().drew(recycle_lots / 2).lived(54min - 1ns), ""},
      {"a peak", all, facts_of().weighs(1 << 30, 2), ""},
      {"heavy for long", all, facts_of().weighs(3 << 19, 3), "its memory, 1.5 MiB"},
  };
  for (auto& row : rows) {
    BOOST_TEST_INFO(row.name);
    BOOST_TEST(recycle_due(row.policy, row.facts) == row.why);
  }
}

BOOST_AUTO_TEST_CASE(a_limit_is_never_exceeded_and_never_zero) {
  auto one = limits(1, 1ns, 0);
  one.jitter = 1;
  BOOST_TEST(request_limit(one, last_lot) == 1u);
  BOOST_TEST((age_limit(one, last_lot) == 1ns));
  auto huge = limits(std::numeric_limits<std::uint64_t>::max(), duration::max(), 0);
  for (unsigned lot : {0u, 1u, last_lot, recycle_lots, 4'000'000'000u}) {
    BOOST_TEST(request_limit(huge, lot) > huge.max_requests / 2);
    BOOST_TEST((age_limit(huge, lot) > huge.max_age / 2));
  }
  BOOST_TEST(request_limit(huge, 0) == huge.max_requests);
  BOOST_TEST((age_limit(huge, 0) == huge.max_age));
  BOOST_TEST(request_limit({}, last_lot) == 0u);
  BOOST_TEST((age_limit({}, last_lot) == 0ns));
}

BOOST_AUTO_TEST_SUITE_END()
