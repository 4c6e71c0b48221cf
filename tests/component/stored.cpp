// FDSTORE=1: what workers have stored comes to those after them.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <filesystem>

#include "kernel/descriptors.hpp"
#include "kernel/hangups.hpp"
#include "kernel/sockets.hpp"
#include "process/notify.hpp"
#include "supervisor/worker.hpp"
#include "support/function_world.hpp"
#include "support/functions.hpp"

using supervisor::notification;
namespace kernel = supervisor::kernel;
using strings = std::vector<std::string>;

namespace {

/// Launches of one slot, each of a generation of its own.
struct fixture : test::kernel_world {
  supervisor::child_id launch_in_slot(const supervisor::spec& what, unsigned slot = 1) {
    auto generation = ++generations;
    host->open_program("test", generation, std::make_shared<const supervisor::spec>(what), {});
    supervisor::launch_request request;
    request.key = {"test", generation, 1};
    request.slot = slot;
    request.generation = generation;
    launched.push_back(host->launch(request, [this] { ++changes; }));
    return launched.back();
  }
  supervisor::child_id launch_in_slot(strings actions, unsigned slot = 1) {
    return launch_in_slot(script(std::move(actions)), slot);
  }
  void run_to_its_end(supervisor::child_id id) {
    BOOST_REQUIRE(run_until([&] { return reported(id); }));
  }
  bool await(supervisor::child_id id, const std::string& line) {
    return run_until([&] { return said(id, line); });
  }
  strings stored(unsigned slot = 1) const { return host->stored("test", slot); }
  /// What the journal has of storing.
  strings told() const {
    strings all;
    for (auto& e : events)
      if (e.kind == supervisor::event_kind::worker_stored) all.push_back(e.text);
    return all;
  }

  std::uint64_t generations = 0;
};

/// Memory files of test_child's that this process holds.
std::ptrdiff_t count_files() {
  namespace fs = std::filesystem;
  std::error_code gone;
  return std::ranges::count_if(fs::directory_iterator("/proc/self/fd"), [&](auto& entry) {
    return fs::read_symlink(entry.path(), gone).string().starts_with("/memfd:stored");
  });
}

std::string text_in(int fd) {
  char text[64]{};
  auto size = ::pread(fd, text, sizeof text, 0);
  return std::string(text, static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
}

int open_state(supervisor::worker& self) {
  if (auto before = self.stored("state")) return *before;  // ours to close
  const int fresh = ::memfd_create("state", MFD_CLOEXEC);
  self.store("state", fresh);
  return fresh;
}

/// Writes a letter behind those of the workers before it.
boost::asio::awaitable<void> serve_state(supervisor::worker& self) {
  const kernel::unique_fd state(open_state(self));
  auto words = text_in(state.get()) + "x";
  if (::pwrite(state.get(), words.data(), words.size(), 0) < 0) words = "not written";
  if (self.stored("state")) words = "it was there twice";
  try {
    self.store("not:a name", state.get());
    words = "a colon was taken";
  } catch (const std::invalid_argument&) {
  }
  self.store("state", state.get());  // which is there
  self.unstore("nobody's");
  self.status(words);
  self.ready();
  co_await self.stopping();
}
const test::function state{"stored.state", serve_state};

}  // namespace

BOOST_AUTO_TEST_SUITE(stored)

BOOST_AUTO_TEST_CASE(words_of_storing) {
  struct {
    std::string message;
    bool stores, unstores;
    std::string name;
    bool polled;
  } const table[] = {
      {"READY=1", false, false, "stored", true},
      {"FDSTORE=1", true, false, "stored", true},
      {"FDSTORE=1\nFDNAME=conn", true, false, "conn", true},
      {"FDNAME=two words\nFDPOLL=0\nFDSTORE=1", true, false, "two words", false},
      {"FDSTORE=1\nFDNAME=", true, false, "stored", true},
      {"FDSTORE=1\nFDNAME=a:b", true, false, "stored", true},
      {"FDSTORE=1\nFDNAME=\x7f", true, false, "stored", true},
      {"FDSTORE=1\nFDNAME=" + std::string(255, 'x'), true, false, std::string(255, 'x'), true},
      {"FDSTORE=1\nFDNAME=" + std::string(256, 'x'), true, false, "stored", true},
      {"FDSTOREREMOVE=1\nFDNAME=conn", false, true, "conn", true},
      {"FDSTOREREMOVE=1", false, false, "stored", true},  // systemd wants a name here
      {"FDSTORE=0\nFDPOLL=1", false, false, "stored", true},
  };
  for (auto& row : table) {
    notification said;
    said.add("FDSTORE=1\nFDSTOREREMOVE=1\nFDNAME=before\nFDPOLL=0");  // of a message before
    said.add(row.message);
    BOOST_TEST_CONTEXT(row.message) {
      BOOST_TEST(said.stores == row.stores);
      BOOST_TEST(said.unstores == row.unstores);
      BOOST_TEST(said.name == row.name);
      BOOST_TEST(said.polled == row.polled);
      BOOST_TEST(said.stands_alone() == (row.stores || row.unstores));
    }
  }
}

BOOST_AUTO_TEST_CASE(the_same_file_is_known_by_any_descriptor_of_it) {
  auto memory = kernel::make_memory("one", 1), other = kernel::make_memory("two", 1);
  auto pipe = kernel::make_wakeup_pipe();
  auto again = kernel::duplicate(memory.get()), end = kernel::duplicate(pipe.ours.get());
  BOOST_TEST(kernel::same_file(memory.get(), again.get()));
  BOOST_TEST(kernel::same_file(pipe.ours.get(), end.get()));
  BOOST_TEST(!kernel::same_file(memory.get(), other.get()));
  BOOST_TEST(!kernel::same_file(pipe.ours.get(), pipe.theirs.get()));
  BOOST_TEST(!kernel::same_file(pipe.ours.get(), memory.get()));
}

BOOST_FIXTURE_TEST_CASE(the_next_worker_has_it_behind_its_listeners, fixture) {
  host->listen(supervisor::listener_spec::parse("127.0.0.1:0"));
  auto first = launch_in_slot({"store", "state=of the first", "sleep"});
  BOOST_REQUIRE(run_until([&] { return !stored().empty(); }));
  BOOST_TEST(stored() == strings{"state"}, boost::test_tools::per_element());
  BOOST_TEST(stored(2).empty());
  host->signal(first, SIGKILL);
  run_to_its_end(first);
  auto next =
      launch_in_slot({"read_stored", "environment", "LISTEN_FDNAMES", "descriptors", "sleep"});
  BOOST_TEST(await(next, "4 is state has of the first"));
  BOOST_TEST(await(next, "LISTEN_FDNAMES=http:state"));
  BOOST_TEST(await(next, "fds 0 1 2 3 4"));
  auto beside = launch_in_slot({"descriptors", "sleep"}, 2);
  BOOST_TEST(await(beside, "fds 0 1 2 3"));
}

BOOST_FIXTURE_TEST_CASE(what_it_says_last_is_stored_and_what_it_was_given_is_not_stored_twice,
                        fixture) {
  run_to_its_end(launch_in_slot({"store", "b=two", "store", "a=one", "exit", "0"}));
  for (int i = 0; i < 3; ++i) {
    auto next = launch_in_slot({"read_stored", "exit", "0"});
    run_to_its_end(next);
    BOOST_TEST(output(next) == (strings{"3 is b has two", "4 is a has one"}),
               boost::test_tools::per_element());
  }
  BOOST_TEST(stored() == (strings{"b", "a"}), boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(it_goes_by_name_or_with_its_slot, fixture) {
  run_to_its_end(launch_in_slot({"store", "a=1", "store", "b=2", "store", "a=3", "notify",
                                 "FDSTOREREMOVE=1\nFDNAME=a", "exit", "0"}));
  BOOST_TEST(stored() == strings{"b"}, boost::test_tools::per_element());
  run_to_its_end(launch_in_slot({"store", "c=4", "exit", "0"}, 2));
  BOOST_TEST(count_files() == 2);
  host->drop_stored("test", 1);
  BOOST_TEST(stored().empty());
  BOOST_TEST(stored(2) == strings{"c"}, boost::test_tools::per_element());
  BOOST_TEST(count_files() == 1);
  auto next = launch_in_slot({"read_stored", "exit", "0"});
  run_to_its_end(next);
  BOOST_TEST(output(next) == strings{"nothing stored"}, boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(a_slot_has_no_more_than_it_may, fixture) {
  auto what = script({"store", "a=1", "store", "b=2", "store", "c=3", "exit", "0"});
  what.fd_store_max = 2;
  run_to_its_end(launch_in_slot(what));
  BOOST_TEST(stored() == (strings{"a", "b"}), boost::test_tools::per_element());
  BOOST_TEST(
      told() == (strings{"stores 'a'", "stores 'b'", "may not store 'c': its slot may have 2"}),
      boost::test_tools::per_element());
  auto refused = std::ranges::find(events, 1, &supervisor::event::number);
  BOOST_REQUIRE((refused != events.end()));
  BOOST_TEST((severity_of(*refused) == supervisor::severity::warning));
}

BOOST_FIXTURE_TEST_CASE(one_that_tells_by_a_newline_stores_nothing, fixture) {
  auto what = script({"store", "a=1", "newline", "3", "exit", "0"});
  what.ready = supervisor::readiness::newline;
  what.ready_descriptor = 3;
  run_to_its_end(launch_in_slot(what));
  BOOST_TEST(stored().empty());
  // Nor is it given what others have stored.
  run_to_its_end(launch_in_slot({"store", "b=2", "exit", "0"}));
  auto next = launch_in_slot(what);
  run_to_its_end(next);
  BOOST_TEST(report(next).status.success());
}

BOOST_FIXTURE_TEST_CASE(without_a_descriptor_nothing_is_stored, fixture) {
  run_to_its_end(launch_in_slot({"notify", "FDSTORE=1\nFDNAME=a", "exit", "0"}));
  BOOST_TEST(stored().empty());
  BOOST_TEST(told() == strings{"cannot store 'a': no descriptor has come along"},
             boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(what_comes_to_its_end_is_dropped, fixture) {
  auto id = launch_in_slot({"store_pipe", "ends", "store_pipe", "stays\nFDPOLL=0", "sleep"});
  BOOST_REQUIRE(run_until([&] { return stored().size() == 2; }));
  host->signal(id, SIGKILL);
  BOOST_REQUIRE(run_until([&] { return stored().size() == 1; }));
  run_to_its_end(id);
  BOOST_TEST(stored() == strings{"stays"}, boost::test_tools::per_element());
  BOOST_TEST(told().back() == "loses 'ends', which it had stored: its other side is gone");
}

// What a message brought is there while it is told, and told before the next one is read.
BOOST_FIXTURE_TEST_CASE(a_barrier_is_answered_when_what_came_before_it_is_known, fixture) {
  auto pair = kernel::make_channel();
  auto file = kernel::make_memory("file", 0);
  BOOST_REQUIRE(::write(file.get(), "text", 4) == 4);
  auto barrier = kernel::make_output_pipe();
  bool ready = false, answered_early = false;
  std::string text;
  supervisor::notify_server server(context.get_executor(), std::move(pair.ours),
                                   [&](notification& said) {
                                     char byte;
                                     answered_early |= ::read(barrier.ours.get(), &byte, 1) == 0;
                                     ready |= said.ready;
                                     if (said.stores) text = text_in(said.descriptors.at(0).get());
                                   });
  auto send = [&](std::string_view word, const kernel::unique_fd& along) {
    const int fd = along.get();
    BOOST_REQUIRE(kernel::send_packet(pair.theirs.get(), word, {&fd, fd < 0 ? 0u : 1u}) == 0);
  };
  send("READY=1", {});
  send("FDSTORE=1", file);
  send("BARRIER=1", barrier.theirs);
  barrier.theirs.reset();
  server.drain();
  BOOST_TEST(ready);
  BOOST_TEST(text == "text");
  BOOST_TEST(!answered_early);
  char byte;
  BOOST_TEST(::read(barrier.ours.get(), &byte, 1) == 0);
}

// Functions: what was stored is at hand from the first line on.

BOOST_FIXTURE_TEST_CASE(a_function_worker_stores_and_finds, test::function_world) {
  open(supervisor::spec("stored.state"));
  BOOST_REQUIRE(opened());
  for (auto* words : {"x", "xx", "xxx", "xxxx"}) {
    auto id = start();
    BOOST_REQUIRE(ready(id));
    BOOST_TEST(view(id).status == words);
    BOOST_TEST(host->stored("pool", 0).size() == 1u);
    host->signal(id, SIGKILL);
    BOOST_REQUIRE(run_until([&] { return reported(id); }));
  }
}

BOOST_AUTO_TEST_SUITE_END()
