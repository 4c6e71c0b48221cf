// What a process leaves behind: all of it, whenever it ends, or a plain refusal.
#include "process/saved_memory.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <csignal>

#include "kernel/descriptors.hpp"

using namespace supervisor;

namespace {

kernel::unique_fd again(const saved_memory& memory) {
  return kernel::unique_fd(::dup(memory.fd()));
}

using parts = std::vector<std::string>;

}  // namespace

BOOST_AUTO_TEST_SUITE(memory_left)

BOOST_AUTO_TEST_CASE(has_the_whole_and_each_change_in_its_order) {
  saved_memory memory("all");
  BOOST_TEST(memory.add("one"));
  BOOST_TEST(memory.add(""));
  BOOST_TEST(memory.add(std::string(1000, 'x')));
  saved_memory next(again(memory));
  BOOST_TEST((next.read() == parts{"all", "one", "", std::string(1000, 'x')}));
  BOOST_TEST(next.add("of the next"));
  BOOST_TEST(saved_memory(again(memory)).read().size() == 5u);
}

BOOST_AUTO_TEST_CASE(says_before_it_is_full_that_it_will_be) {
  saved_memory memory("all");
  const std::string change(1000, 'x');
  unsigned changes = 0;
  while (!memory.runs_short()) {
    BOOST_REQUIRE(memory.add(change));
    ++changes;
  }
  BOOST_TEST(changes > 100u);
  unsigned more = 0;
  while (memory.add(change)) ++more;
  BOOST_TEST(more > 10u);
  BOOST_TEST(memory.read().size() == 1 + changes + more);
}

BOOST_AUTO_TEST_CASE(has_room_for_changes_however_large_the_whole_is) {
  const std::string whole(10'000'000, 'x');
  saved_memory memory(whole);
  BOOST_TEST(!memory.runs_short());
  BOOST_TEST(memory.add(whole));
  BOOST_TEST(memory.read().size() == 2u);
}

/// Each change that was begun is there entirely or not at all.
BOOST_AUTO_TEST_CASE(holds_what_a_killed_process_has_added) {
  for (int i = 0; i < 20; ++i) {
    saved_memory memory(std::string(4'000'000, 'w'));
    int ends[2];
    BOOST_REQUIRE(::pipe(ends) == 0);
    auto pid = ::fork();
    if (pid == 0) {
      for (unsigned n = 1; memory.add(std::string(n % 5000, static_cast<char>('a' + n % 26))); ++n)
        if (n == 10 && ::write(ends[1], "x", 1) < 0) ::_exit(1);
      for (;;) ::pause();
    }
    char begun;
    BOOST_REQUIRE(::read(ends[0], &begun, 1) == 1);
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    ::close(ends[0]);
    ::close(ends[1]);
    auto left = memory.read();
    BOOST_TEST(left.size() > 10u);
    bool whole = true;
    for (std::size_t n = 1; n < left.size(); ++n)
      whole = whole && left[n] == std::string(n % 5000, static_cast<char>('a' + n % 26));
    BOOST_TEST(whole);
  }
}

BOOST_AUTO_TEST_CASE(that_is_damaged_is_refused) {
  auto memory = kernel::make_fixed_memory("test", 4096);
  constexpr std::uint64_t head = saved_memory::begin;
  auto write = [&](std::uint64_t used, std::uint64_t size) {
    BOOST_REQUIRE(::pwrite(memory.get(), &used, sizeof used, 0) == sizeof used);
    BOOST_REQUIRE(::pwrite(memory.get(), &size, sizeof size, head) == sizeof size);
  };
  auto reads = [&] { return saved_memory(kernel::unique_fd(::dup(memory.get()))).read().size(); };
  for (auto [used, size] : {std::pair<std::uint64_t, std::uint64_t>{0, 0},
                            {head, 0},
                            {head + 4, 0},
                            {4097, 1},
                            {head + 16, 9},
                            {head + 16, ~0ull},
                            {~0ull, ~0ull}}) {
    write(used, size);
    BOOST_CHECK_THROW(reads(), std::runtime_error);
  }
  write(head + 16, 8);
  BOOST_TEST(reads() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
