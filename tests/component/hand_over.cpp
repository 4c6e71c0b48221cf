// Connections that a worker which leaves hands over to one that stays.
#include <netinet/in.h>
#include <sys/socket.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <set>

#include "kernel/descriptors.hpp"
#include "supervisor/worker.hpp"
#include "support/functions.hpp"
#include "support/mold_process.hpp"

namespace asio = boost::asio;
using supervisor::spec;
using test::mold_process;

namespace {

/// Answers each byte with its pid; in its last answer with a full stop.
asio::awaitable<void> session(supervisor::worker& self, class supervisor::worker::listener from,
                              supervisor::connection client) {
  boost::system::error_code error;
  for (;;) {
    auto came = co_await self.idle(from, client, std::chrono::milliseconds(100));
    if (came == supervisor::idle_end::deadline) self.status("closed");
    if (came != supervisor::idle_end::readable) co_return;
    char byte = 0;
    if (client.read_some(asio::buffer(&byte, 1), error) == 0) co_return;
    if (byte == 'w') co_await self.stopping();
    const bool last = !self.keeps_connections();
    const std::string answer = std::to_string(getpid()) + (last ? ".\n" : "\n");
    asio::write(client, asio::buffer(answer), error);
    if (last) co_return;
  }
}

asio::awaitable<void> serve_idle(supervisor::worker& self) {
  auto listener = self.listener();
  self.ready();
  for (;;) {
    auto accepted = co_await self.accept(listener);
    if (!accepted) co_return;
    self.spawn(session(self, listener, std::move(*accepted)));
  }
}
const test::function idle{"hand_over.idle", serve_idle};

struct client {
  explicit client(std::uint16_t port) : fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    BOOST_REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
  }
  void send(char byte) const { BOOST_REQUIRE(::send(fd.get(), &byte, 1, MSG_NOSIGNAL) == 1); }
  /// One line; empty at the end.
  std::string line() const {
    std::string text;
    char byte = 0;
    while (test::wait_for(fd.get()) && ::read(fd.get(), &byte, 1) == 1 && byte != '\n')
      text += byte;
    return text;
  }
  std::string ask(char byte = 'x') const {
    send(byte);
    return line();
  }
  test::kernel::unique_fd fd;
};

struct pool {
  supervisor::listener_spec where = supervisor::listener_spec::parse("127.0.0.1:0");
  test::kernel::unique_fd socket = test::kernel::open_listener(where);
  test::kernel::ends relay = test::kernel::make_channel();
  mold_process mold{spec("hand_over.idle")};

  pool() {
    mold.start({{where.name, socket.get()}}, {{where.name, relay.ours.get(), relay.theirs.get()}});
  }
  /// As the supervisor does it.
  static void tell_to_leave(test::worker_process& worker, const std::string& terms) {
    worker.say("X_LEAVE=" + terms);
    BOOST_REQUIRE(kill(worker.pid, SIGTERM) == 0);
    BOOST_TEST(worker.word() == "STOPPING=1");
  }
};

std::string name_of(const test::worker_process& worker) { return std::to_string(worker.pid); }

}  // namespace

BOOST_AUTO_TEST_SUITE(hand_over)

BOOST_FIXTURE_TEST_CASE(an_idle_connection_goes_to_the_one_that_stays, pool) {
  auto& leaves = mold.launch_ready();
  client first(where.port), silent(where.port);
  BOOST_TEST(first.ask() == name_of(leaves));
  auto& stays = mold.launch_ready();
  tell_to_leave(leaves, "30000000,1");
  BOOST_TEST(mold.end(leaves).success());
  BOOST_TEST(first.ask() == name_of(stays));
  BOOST_TEST(first.ask() == name_of(stays));
  BOOST_TEST(silent.ask() == name_of(stays));  // its first request
}

BOOST_FIXTURE_TEST_CASE(a_request_in_flight_is_answered_and_its_connection_handed_over, pool) {
  auto& leaves = mold.launch_ready();
  client busy(where.port);
  BOOST_TEST(busy.ask() == name_of(leaves));
  busy.send('w');
  auto& stays = mold.launch_ready();
  tell_to_leave(leaves, "30000000,1");
  BOOST_TEST(busy.line() == name_of(leaves));
  BOOST_TEST(busy.ask() == name_of(stays));
  BOOST_TEST(mold.end(leaves).success());
}

BOOST_FIXTURE_TEST_CASE(where_nobody_stays_the_next_answer_is_the_last, pool) {
  auto& leaves = mold.launch_ready();
  client kept(where.port);
  BOOST_TEST(kept.ask() == name_of(leaves));
  leaves.say("X_LEAVE=30000000,0");
  kept.send('w');
  BOOST_REQUIRE(kill(leaves.pid, SIGTERM) == 0);
  BOOST_TEST(kept.line() == name_of(leaves) + ".");
  BOOST_TEST(kept.line() == "");
  BOOST_TEST(mold.end(leaves).success());
}

BOOST_FIXTURE_TEST_CASE(an_idle_one_that_nobody_takes_is_closed_at_its_deadline, pool) {
  auto& leaves = mold.launch_ready();
  client kept(where.port);
  BOOST_TEST(kept.ask() == name_of(leaves));
  tell_to_leave(leaves, "0,0");
  BOOST_TEST(leaves.word() == "STATUS=closed");
  BOOST_TEST(kept.line() == "");
  BOOST_TEST(mold.end(leaves).success());
}

BOOST_FIXTURE_TEST_CASE(one_that_is_told_to_leave_by_others_hands_over_when_it_hears_who_stays,
                        pool) {
  auto& leaves = mold.launch_ready();
  client kept(where.port);
  BOOST_TEST(kept.ask() == name_of(leaves));
  BOOST_REQUIRE(kill(leaves.pid, SIGTERM) == 0);
  BOOST_TEST(leaves.word() == "STOPPING=1");
  leaves.say("X_LEAVE=0,1");
  BOOST_TEST(mold.end(leaves).success());
  auto& stays = mold.launch_ready();  // it waits where it was sent to
  BOOST_TEST(kept.ask() == name_of(stays));
}

BOOST_FIXTURE_TEST_CASE(more_than_the_kernel_holds_wait_with_the_one_that_leaves, pool) {
  constexpr unsigned many = 600;
  auto& leaves = mold.launch_ready();
  std::vector<client> clients;
  for (unsigned i = 0; i < many; ++i) {
    clients.emplace_back(where.port);
    BOOST_TEST(clients.back().ask() == name_of(leaves));
  }
  tell_to_leave(leaves, "0,1");
  // It has sent what there is room for, and takes nothing of that back.
  const auto deadline = std::chrono::steady_clock::now() + test::patience;
  auto waiting = [&] { return test::kernel::count_packets(relay.ours.get()); };
  while (waiting() < 100) BOOST_REQUIRE(std::chrono::steady_clock::now() < deadline);
  std::vector<test::worker_process*> stay{&mold.launch_ready(), &mold.launch_ready()};
  BOOST_TEST(mold.end(leaves).success());
  std::set<std::string> answered;
  for (auto& each : clients) answered.insert(each.ask());
  std::set<std::string> others{name_of(*stay[0]), name_of(*stay[1])};
  BOOST_TEST(std::includes(others.begin(), others.end(), answered.begin(), answered.end()));
  BOOST_TEST(waiting() == 0u);
}

BOOST_FIXTURE_TEST_CASE(a_killed_one_loses_none_that_it_has_not_taken, pool) {
  auto& leaves = mold.launch_ready();
  client kept(where.port);
  BOOST_TEST(kept.ask() == name_of(leaves));
  auto& stuck = mold.launch_ready();
  BOOST_REQUIRE(kill(stuck.pid, SIGSTOP) == 0);
  tell_to_leave(leaves, "0,1");
  BOOST_TEST(mold.end(leaves).success());
  kill(stuck.pid, SIGKILL);
  mold.end(stuck);
  auto& stays = mold.launch_ready();
  BOOST_TEST(kept.ask() == name_of(stays));
}

BOOST_FIXTURE_TEST_CASE(a_wakeup_that_went_to_one_that_leaves_is_not_lost, pool) {
  // While both sleep, one of them is woken for what comes, and told to leave before it runs.
  auto& gives = mold.launch_ready();
  client kept(where.port);
  BOOST_TEST(kept.ask() == name_of(gives));
  auto& one = mold.launch_ready();
  auto& other = mold.launch_ready();
  for (auto* each : {&one, &other}) kill(each->pid, SIGSTOP);
  tell_to_leave(gives, "0,1");
  BOOST_TEST(mold.end(gives).success());
  one.say("X_LEAVE=0,1");
  kill(one.pid, SIGTERM);
  kill(one.pid, SIGCONT);
  BOOST_TEST(mold.end(one).success());
  kill(other.pid, SIGCONT);
  other.say("X_POKE=1");  // as after every departure
  BOOST_TEST(kept.ask() == name_of(other));
}

BOOST_AUTO_TEST_SUITE_END()
