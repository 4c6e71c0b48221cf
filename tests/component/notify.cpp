// sd_notify: who may say what, and that nothing said is lost.
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstring>

#include "kernel/descriptors.hpp"
#include "process/notify.hpp"
#include "support/kernel_world.hpp"

using supervisor::notification;
namespace kernel = supervisor::kernel;

namespace {

struct fixture : test::kernel_world {
  std::vector<notification> heard;

  supervisor::notify_server serve(kernel::unique_fd socket, std::optional<uid_t> sender = {}) {
    return {context.get_executor(), std::move(socket), sender,
            [this](auto& said) { heard.emplace_back().merge(said); }};
  }
};

/// Sends to an address as NOTIFY_SOCKET spells it, perhaps with a descriptor.
void send_to(const std::string& name, std::string text, int descriptor = -1) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data() + 1, name.size() - 1);
  iovec part{text.data(), text.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (descriptor >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    auto* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  }
  kernel::unique_fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (::sendmsg(socket.get(), &message, 0) < 0) ::_exit(9);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(notify)

BOOST_AUTO_TEST_CASE(words_are_lines_and_unknown_ones_are_passed_over) {
  notification said;
  BOOST_TEST(said.empty());
  said.add("X_OTHER=1\nREADY=1\nSTATUS=serving = well\nREADYX=1\n\n");
  BOOST_TEST(said.ready);
  BOOST_TEST(!said.stopping);
  BOOST_TEST(said.status.value() == "serving = well");
  notification none;
  none.add("READY=0\nXREADY=1\nMAINPID=1\nWATCHDOG=trigger");
  BOOST_TEST(none.empty());
  none.add("WATCHDOG=1\nX_RECYCLE=1");
  BOOST_TEST(none.heartbeat);
  BOOST_TEST(none.recycle);
  none = {};
  BOOST_TEST(none.empty());
  none.add("STOPPING=1");
  BOOST_TEST(none.stopping);
  none = {};
  none.add("EXTEND_TIMEOUT_USEC=\nEXTEND_TIMEOUT_USEC=-1\nEXTEND_TIMEOUT_USEC=5s");
  BOOST_TEST(none.empty());
  none.add("EXTEND_TIMEOUT_USEC=1500000");
  BOOST_TEST((none.extend == std::chrono::milliseconds(1500)));
  none.add("EXTEND_TIMEOUT_USEC=18446744073709551615");  // beyond all time
  BOOST_TEST((none.extend < supervisor::never - supervisor::time_point{}));
}

BOOST_AUTO_TEST_CASE(of_reloading_and_ready_the_later_message_counts) {
  struct {
    std::vector<std::string> messages;
    unsigned reloads;
    std::optional<bool> reloading;
    bool ready;
  } const table[] = {
      {{"STATUS=up"}, 0, {}, false},
      {{"READY=1"}, 0, false, true},
      {{"RELOADING=1\nMONOTONIC_USEC=17"}, 1, true, false},
      {{"READY=1", "RELOADING=1"}, 1, true, true},
      {{"RELOADING=1", "READY=1"}, 1, false, true},
      {{"RELOADING=1", "STATUS=half"}, 1, true, false},
      {{"RELOADING=1", "READY=1", "RELOADING=1"}, 2, true, true},
      {{"RELOADING=1", "RELOADING=1", "READY=1"}, 2, false, true},
      {{"READY=1\nRELOADING=1"}, 1, false, true},  // in one breath: it has reloaded
      {{"RELOADING=1\nREADY=1"}, 1, false, true},
      {{"RELOADING=0"}, 0, {}, false},
  };
  for (auto& row : table) {
    notification added, merged;
    for (auto& message : row.messages) {
      added.add(message);
      notification one;
      one.add(message);
      merged.merge(one);
    }
    BOOST_TEST_CONTEXT(row.messages.front() << ", " << row.messages.size()) {
      for (auto* each : {&added, &merged}) {
        BOOST_TEST(each->reloads == row.reloads);
        BOOST_TEST((each->reloading == row.reloading));
        BOOST_TEST(each->ready == row.ready);
      }
    }
  }
}

BOOST_FIXTURE_TEST_CASE(child_that_reloads_stays_ready, fixture) {
  auto id =
      launch(script({"notify", "READY=1", "notify", "RELOADING=1\nMONOTONIC_USEC=1", "sleep"}));
  BOOST_REQUIRE(run_until([&] { return view(id).reloading; }));
  BOOST_TEST(view(id).ready);
  BOOST_TEST(view(id).reloads == 1u);
  auto again = launch(script(
      {"notify", "READY=1", "notify", "RELOADING=1", "notify", "READY=1\nSTATUS=new", "sleep"}));
  BOOST_REQUIRE(run_until([&] { return view(again).status == "new"; }));
  BOOST_TEST(view(again).ready);
  BOOST_TEST(!view(again).reloading);
  BOOST_TEST(view(again).reloads == 1u);
}

BOOST_FIXTURE_TEST_CASE(child_tells_of_itself, fixture) {
  auto id = launch(script({"notify", "STATUS=warming up", "notify", "READY=1\nSTATUS=serving",
                           "notify", "STOPPING=1", "sleep"}));
  BOOST_REQUIRE(run_until([&] { return view(id).stopping; }));
  BOOST_TEST(view(id).ready);
  BOOST_TEST(view(id).status == "serving");
  BOOST_TEST(changes >= 2u);
}

supervisor::spec ready_by(int descriptor, std::vector<std::string> actions) {
  auto what = test::kernel_world::script(std::move(actions));
  what.ready = supervisor::readiness::newline;
  what.ready_descriptor = descriptor;
  return what;
}

BOOST_FIXTURE_TEST_CASE(a_newline_says_that_it_is_ready, fixture) {
  auto id = launch(ready_by(7, {"descriptors", "newline", "7", "sleep"}));
  BOOST_REQUIRE(run_until([&] { return view(id).ready && !output(id).empty(); }));
  BOOST_TEST(output(id).front() == "fds 0 1 2 7");
  auto never = launch(ready_by(3, {"exit", "0"}));
  BOOST_REQUIRE(run_until([&] { return reported(never); }));
  BOOST_TEST(!view(never).ready);
}

BOOST_FIXTURE_TEST_CASE(a_newline_of_one_that_leaves_at_once_is_not_lost, fixture) {
  for (int i = 0; i < 100; ++i) {
    auto id = launch(ready_by(3, {"newline", "3", "exit", "0"}));
    BOOST_REQUIRE(run_until([&] { return view(id).exited.has_value(); }));
    BOOST_REQUIRE(view(id).ready);
  }
}

BOOST_FIXTURE_TEST_CASE(the_descriptor_of_a_newline_is_no_listener_s, fixture) {
  host->listen(supervisor::listener_spec::parse("127.0.0.1:0"));
  auto id = launch(ready_by(3, {"sleep"}));
  BOOST_REQUIRE(run_until([&] { return reported(id); }));
  BOOST_REQUIRE(view(id).failed);
  BOOST_TEST(view(id).failed->stage == "ready");
  auto next = launch(ready_by(4, {"newline", "4", "sleep"}));
  BOOST_TEST(run_until([&] { return view(next).ready; }));
}

BOOST_FIXTURE_TEST_CASE(ready_of_one_that_leaves_at_once_is_not_lost, fixture) {
  for (int i = 0; i < 300; ++i) {
    auto id = launch(script({"notify", "READY=1", "exit", "0"}));
    BOOST_REQUIRE(run_until([&] { return view(id).exited.has_value(); }));
    BOOST_REQUIRE(view(id).ready);
  }
}

BOOST_FIXTURE_TEST_CASE(what_was_said_last_comes_before_the_death, fixture) {
  // The loop stands still until both are dead, so that it sees the news of all pidfds - first of
  // the first child - before the second one's message.
  auto dead = [this](supervisor::child_id id) {
    auto fd = kernel::open_pidfd(view(id).pid);
    return kernel::wait_readable(fd.get(), std::chrono::seconds(20));
  };
  BOOST_REQUIRE(dead(launch(script({"exit", "0"}))));
  auto id = launch(script({"notify", "READY=1", "exit", "0"}));
  BOOST_REQUIRE(dead(id));
  bool ready_at_death = false;
  host->watch(id, [&] { ready_at_death |= view(id).exited && view(id).ready; });
  bool ready_first = true;
  auto look = [&] {
    ready_first &= !view(id).exited || view(id).ready;
    return reported(id);
  };
  BOOST_REQUIRE(run_until(look));
  BOOST_TEST(ready_first);
  BOOST_TEST(ready_at_death);
}

BOOST_FIXTURE_TEST_CASE(stranger_is_not_heard, fixture) {
  if (::geteuid() != 0) {
    BOOST_TEST_MESSAGE("skipped: not root");
    return;
  }
  auto [socket, name] = kernel::make_notify_socket();
  std::vector<std::size_t> brought;
  supervisor::notify_server server(context.get_executor(), std::move(socket), 1001,
                                   [&](notification& said) {
                                     brought.push_back(said.stores ? said.descriptors.size() : 0);
                                     heard.emplace_back().merge(said);
                                   });
  for (uid_t uid : {1000u, 1001u, 0u}) {
    pid_t sender = ::fork();
    if (sender == 0) {
      if (uid && ::setuid(uid) < 0) ::_exit(8);
      send_to(name, "FDSTORE=1\nSTATUS=" + std::to_string(uid), STDIN_FILENO);
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(sender, &status, 0);
    BOOST_TEST(status == 0);
    server.drain();
  }
  BOOST_REQUIRE(heard.size() == 2u);
  BOOST_TEST(brought == (std::vector<std::size_t>{1, 1}), boost::test_tools::per_element());
  BOOST_TEST(heard[0].status.value() == "1001");
  BOOST_TEST(heard[1].status.value() == "0");
}

BOOST_FIXTURE_TEST_CASE(barrier_is_answered_by_closing_its_descriptor, fixture) {
  auto [socket, name] = kernel::make_notify_socket();
  auto server = serve(std::move(socket));
  auto pipe = kernel::make_output_pipe();
  send_to(name, "BARRIER=1", pipe.theirs.get());
  pipe.theirs.reset();
  char byte;
  BOOST_TEST(::read(pipe.ours.get(), &byte, 1) < 0);  // still held
  server.drain();
  BOOST_TEST(::read(pipe.ours.get(), &byte, 1) == 0);  // end of file
}

BOOST_FIXTURE_TEST_CASE(channel_goes_both_ways_and_ends, fixture) {
  auto pair = kernel::make_channel();
  supervisor::notify_server server(context.get_executor(), std::move(pair.ours),
                                   [this](auto& said) { heard.emplace_back().merge(said); });
  BOOST_TEST(server.send("X_PING=1"));
  char text[64];
  BOOST_TEST(::recv(pair.theirs.get(), text, sizeof text, 0) == 8);
  BOOST_TEST(::send(pair.theirs.get(), "X_ALIVE=1", 9, 0) == 9);
  BOOST_REQUIRE(run_until([&] { return !heard.empty(); }));
  BOOST_TEST(heard[0].alive);
  // A worker that does not read stalls nobody.
  int sent = 0;
  while (server.send("X_POKE=1")) BOOST_REQUIRE(++sent < 100000);
  BOOST_TEST(::send(pair.theirs.get(), "READY=1", 7, 0) == 7);
  pair.theirs.reset();
  BOOST_REQUIRE(run_until([&] { return heard.size() == 2; }));
  BOOST_TEST(heard[1].ready);
  context.restart();
  context.poll();
  BOOST_TEST(!server.send("X_POKE=1"));
}

BOOST_AUTO_TEST_SUITE_END()
