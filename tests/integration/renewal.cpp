// A program that has proved itself becomes the keeper's, too: same process, same children.
#include <signal.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <set>
#include <thread>

#include "bench/load_client.hpp"
#include "support/upgradable.hpp"

namespace {

namespace json = boost::json;
using test::upgradable;

std::set<pid_t> children_of(pid_t parent) {
  auto all = supervisor::kernel::children_of(parent);
  return {all.begin(), all.end()};
}

/// A minute; no event comes before.
void await_renewal(upgradable& u) {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(2);
  while (u.runs(u.app().pid()) != u.on_disk() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  u.app().wait_for("note", [](auto& e) {
    return e.at("text").as_string().find("the keeper is of the new program") != json::string::npos;
  });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(renewal)

BOOST_AUTO_TEST_CASE(the_keeper_becomes_the_program_that_was_well_for_a_minute) {
  upgradable u({"-w", "2", "-b", "127.0.0.1:0"});
  auto& app = u.app();
  app.wait_ready(2);
  auto before = u.shape();
  u.install(TEST_PREFORK);
  BOOST_TEST(app.ask({"upgrade"}).code == 0);
  auto master = u.pid_of();
  auto children = children_of(app.pid());
  BOOST_TEST(children.size() > 2u);  // the workers fell to it
  bench::load_options options;
  options.port = static_cast<std::uint16_t>(app.port());
  options.keep_alive = true;
  options.connections = 4;
  options.rate = 50;
  options.patience = test::patience;
  bench::load clients(options);
  await_renewal(u);
  BOOST_TEST(u.runs(app.pid()) == u.on_disk());
  BOOST_TEST(supervisor::kernel::short_name(app.pid()) == "prefork-keeper");
  BOOST_TEST(test::command_of(app.pid()).starts_with("prefork: keeper run"));
  BOOST_TEST((children_of(app.pid()) == children));
  BOOST_TEST(u.pid_of() == master);
  BOOST_TEST(u.shape() == before);
  for (auto& [name, counts] : clients.stop()) BOOST_TEST(counts.failures() == "");

  // It is a keeper in everything: it tells of deaths, hands signals on, and starts masters, of the
  // new program for good.
  auto victim = app.workers().front();
  BOOST_REQUIRE(::kill(victim, SIGBUS) == 0);
  auto gone = app.wait_for("worker.exited");
  BOOST_TEST(gone.at("pid").to_number<pid_t>() == victim);
  BOOST_TEST(gone.at("status").as_string().starts_with("SIGBUS"));
  app.wait_ready(3);
  app.signal(SIGTTIN);
  app.wait_ready(4);
  BOOST_REQUIRE(::kill(u.pid_of(), SIGKILL) == 0);
  app.wait_for("supervisor.started");
  BOOST_TEST(u.runs() == u.on_disk());
  BOOST_TEST(u.last_upgrade() == "committed");
  u.install(TEST_PREFORK);
  BOOST_TEST(app.ask({"upgrade"}).code == 0);
  BOOST_TEST(u.runs() == u.on_disk());
  BOOST_TEST(app.ask({"reload"}).code == 0);
  u.end();
}

BOOST_AUTO_TEST_SUITE_END()
