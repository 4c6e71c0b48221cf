// How an upgrade went, in words: a table.
#include "upgrade_words.hpp"

#include <sys/wait.h>

#include <boost/json/object.hpp>
#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <csignal>

#include "supervisor/errc.hpp"

using namespace supervisor;
using result = keeper_wire::upgrade_result;

namespace {

keeper_wire::record upgraded(result how, keeper_wire::process_end end = {}) {
  keeper_wire::record told;
  told.what = keeper_wire::kind::upgraded;
  told.count = static_cast<std::uint32_t>(how);
  told.end = end;
  return told;
}

keeper_wire::process_end ended(int code, int status) { return {code, status, 0, 0, 0}; }

}  // namespace

BOOST_AUTO_TEST_SUITE(upgrade_words)

BOOST_AUTO_TEST_CASE(each_result_has_its_words_and_its_kind) {
  struct row {
    keeper_wire::record told;
    const char* end;
    const char* words;
  };
  const row rows[] = {
      {upgraded(result::committed), "committed", ""},
      {upgraded(result::not_opened, ended(0, ENOENT)), "failed", "No such file or directory"},
      {upgraded(result::not_executed, ended(0, ENOEXEC)), "failed", "Exec format error"},
      {upgraded(result::not_made, ended(0, EAGAIN)), "failed", "no process can be made"},
      {upgraded(result::unreadable), "failed", "cannot read what this one knows"},
      {upgraded(result::ended, ended(CLD_EXITED, 3)), "failed", "exit 3"},
      {upgraded(result::late), "failed", "not ready to go on after 10 s"},
      {upgraded(result::master_ended, ended(CLD_KILLED, SIGKILL)), "failed", "SIGKILL"},
      {upgraded(result::not_now), "failed", "try again"},
      {upgraded(result::rolled_back, ended(CLD_DUMPED, SIGSEGV)), "rolled_back", "SIGSEGV"},
      {upgraded(result::rolled_back_hung), "rolled_back", "did not answer"},
      {upgraded(static_cast<result>(99)), "failed", "99"},
  };
  for (auto& r : rows) BOOST_TEST_CONTEXT(r.told.count) {
      auto status = status_of_upgrade(r.told);
      BOOST_TEST(status.end == r.end);
      BOOST_TEST(status.why.find(r.words) != std::string::npos);
      BOOST_TEST(status.why.empty() == (status.end == "committed"));
      auto event = event_of_upgrade(r.told);
      BOOST_TEST(to_string(event.kind) == std::string("upgrade.") + r.end);
      BOOST_TEST(!event.text.empty());
    }
}

BOOST_AUTO_TEST_CASE(who_waits_is_told_the_exit_code) {
  BOOST_TEST(answer_of_upgrade("").body.at("exit").as_int64() == exit_code::ok);
  auto failed = answer_of_upgrade("it hangs");
  BOOST_TEST(failed.status == 409u);
  BOOST_TEST(failed.body.at("exit").as_int64() == exit_code::rolled_back);
  BOOST_TEST(failed.body.at("reason").as_string() == "it hangs");
}

BOOST_AUTO_TEST_SUITE_END()
