// What children write: line by line, bounded, without stalling anybody.
#include <fcntl.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstring>
#include <memory>

#include "kernel/descriptors.hpp"
#include "process/output.hpp"
#include "support/kernel_world.hpp"
#include "support/pty.hpp"
#include "support/temporary.hpp"

namespace kernel = supervisor::kernel;

namespace {

struct fixture : test::kernel_world {
  using line = std::pair<std::string, bool>;

  /// Everything a reader makes of `text`.
  std::vector<line> read(const std::string& text) {
    auto pipe = kernel::make_output_pipe();
    std::vector<line> all;
    bool ended = false;
    supervisor::line_reader reader(
        context.get_executor(), std::move(pipe.ours),
        [&](std::string_view line, bool partial) { all.emplace_back(line, partial); },
        [&] { ended = true; });
    for (std::string_view rest = text; !rest.empty();) {
      auto size = ::write(pipe.theirs.get(), rest.data(), std::min<std::size_t>(rest.size(), 4096));
      BOOST_REQUIRE(size > 0);
      rest.remove_prefix(static_cast<std::size_t>(size));
      context.restart();
      context.poll();
    }
    pipe.theirs.reset();
    BOOST_REQUIRE(run_until([&] { return ended; }));
    BOOST_TEST(reader.ended());
    return all;
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(output)

BOOST_FIXTURE_TEST_CASE(text_comes_in_lines, fixture) {
  BOOST_CHECK((read("one\n\ntwo\nrest") ==
               std::vector<line>{{"one", false}, {"", false}, {"two", false}, {"rest", true}}));
  BOOST_CHECK(read("").empty());
  BOOST_CHECK((read("one\n") == std::vector<line>{{"one", false}}));
}

BOOST_FIXTURE_TEST_CASE(line_without_end_is_cut_into_parts, fixture) {
  constexpr auto longest = supervisor::line_reader::longest;
  std::string text(2 * longest + 5, 'x');
  text += "\nnext\n";  // g++ 12 warns of `string + literal` (PR 105329)
  auto all = read(text);
  BOOST_REQUIRE(all.size() == 4u);
  BOOST_TEST(all[0].first.size() == longest);
  BOOST_TEST(all[0].second);
  BOOST_TEST(all[1].first.size() == longest);
  BOOST_TEST(all[2].first == "xxxxx");
  BOOST_TEST(!all[2].second);
  BOOST_TEST(all[3].first == "next");
  // One of exactly that length is whole.
  text.assign(longest, 'y').push_back('\n');
  all = read(text);
  BOOST_REQUIRE(all.size() == 1u);
  BOOST_TEST(!all[0].second);
}

BOOST_FIXTURE_TEST_CASE(whoever_goes_on_from_another_tells_each_line_once, fixture) {
  using supervisor::output_in_hand;
  const std::uint32_t held = 7;
  auto hand = std::make_shared<output_in_hand>();
  std::string rest;
  std::vector<std::string> told;
  /// As a process leaves it that is killed just before it tells a line.
  struct death {
    std::vector<std::string> told;
    std::string rest;
    std::shared_ptr<output_in_hand> hand = std::make_shared<output_in_hand>();
  };
  std::vector<death> deaths;
  auto die = [&] {
    auto& last = deaths.emplace_back(told, rest);
    std::memcpy(static_cast<void*>(last.hand.get()), hand.get(), sizeof *hand);
  };
  auto pipe = kernel::make_output_pipe();
  supervisor::line_reader reader(
      context.get_executor(), std::move(pipe.ours),
      [&](std::string_view line, bool) {
        die();
        told.emplace_back(line);
      },
      [] {});
  reader.keep([&] { return hand; }, held);
  reader.on_rest([&] {
    die();
    rest = reader.rest();
    die();
  });
  for (const std::string text : {"beg", "in", "ning\nsecond\n\n", "third\nfour", "th\nlast\n"}) {
    BOOST_REQUIRE(::write(pipe.theirs.get(), text.data(), text.size()) > 0);
    context.restart();
    context.poll();
    die();
    auto all = told;
    if (!reader.rest().empty()) all.push_back(reader.rest());
    for (auto& last : std::exchange(deaths, {})) {
      auto next_pipe = kernel::make_output_pipe();
      bool ended = false;
      supervisor::line_reader next(
          context.get_executor(), std::move(next_pipe.ours),
          [&](std::string_view line, bool) { last.told.emplace_back(line); },
          [&] { ended = true; });
      next.keep([&] { return last.hand; }, held);
      next.go_on(last.rest);
      next_pipe.theirs.reset();
      BOOST_REQUIRE(run_until([&] { return ended; }));
      BOOST_TEST(last.told == all, boost::test_tools::per_element());
      BOOST_TEST(last.hand->pipe() == 0u);
    }
  }
}

BOOST_AUTO_TEST_CASE(tail_keeps_the_last_lines) {
  supervisor::tail tail;
  for (int i = 0; i < 10000; ++i) tail.append("line " + std::to_string(i), false);
  tail.append("unfinished", true);
  auto text = tail.take();
  BOOST_TEST(text.size() <= supervisor::tail::size);
  BOOST_TEST(text.size() > supervisor::tail::size / 2);
  BOOST_TEST(text.ends_with("line 9999\nunfinished"));
}

BOOST_FIXTURE_TEST_CASE(flood_does_not_keep_the_loop, fixture) {
  auto id = launch(script({"flood", "30000000", "exit", "0"}));
  unsigned ticks = 0;
  std::function<void()> tick = [&] {
    ++ticks;
    if (!reported(id)) host->call_at(host->now(), tick);
  };
  tick();
  BOOST_REQUIRE(run_until([&] { return reported(id); }));
  BOOST_TEST(output(id).size() == 30000000u / 1024 + 1);
  BOOST_TEST(report(id).last_output.size() > 3000u);
  BOOST_TEST(ticks > 100u);
}

BOOST_FIXTURE_TEST_CASE(flood_of_short_lines_does_not_keep_the_loop, fixture) {
  auto pipe = kernel::make_output_pipe();
  const std::string lines(64 * 1024, '\n');
  BOOST_REQUIRE(::write(pipe.theirs.get(), lines.data(), lines.size()) == 64 * 1024);
  pipe.theirs.reset();
  std::size_t count = 0, most = 0;
  bool ended = false;
  supervisor::line_reader reader(
      context.get_executor(), std::move(pipe.ours), [&](auto, bool) { ++count; },
      [&] { ended = true; });
  while (!ended) {
    auto before = count;
    context.restart();
    BOOST_REQUIRE(context.run_one() == 1u);
    most = std::max(most, count - before);
  }
  BOOST_TEST(count == lines.size());
  BOOST_TEST(most <= 1024u);
}

BOOST_FIXTURE_TEST_CASE(last_words_are_in_the_report, fixture) {
  auto id = launch(script({"print", "whole", "error", "wrong", "partial", "half", "raise", "11"}));
  BOOST_REQUIRE(run_until([&] { return reported(id); }));
  BOOST_TEST(said(id, "whole"));
  BOOST_TEST(said(id, "! wrong"));
  BOOST_TEST(said(id, "half"));
  auto& text = report(id).last_output;
  BOOST_TEST(text.find("whole\n") != text.npos);
  BOOST_TEST(text.find("wrong\n") != text.npos);
  BOOST_TEST(text.find("half") != text.npos);
}

BOOST_FIXTURE_TEST_CASE(writing_to_a_full_pipe_does_not_wait, test::leftovers) {
  auto pipe = kernel::make_output_pipe();
  const std::string line(1000, 'x');
  unsigned written = 0;
  while (kernel::write_now(pipe.theirs.get(), line)) BOOST_REQUIRE(++written < 1000);
  BOOST_TEST(written > 10u);
  char buffer[8192];
  for (int i = 0; i < 2; ++i) BOOST_REQUIRE(::read(pipe.ours.get(), buffer, sizeof buffer) > 0);
  BOOST_TEST(kernel::write_now(pipe.theirs.get(), line));
  pipe.ours.reset();
  auto before = std::signal(SIGPIPE, SIG_IGN);
  BOOST_TEST(!kernel::write_now(pipe.theirs.get(), line));
  std::signal(SIGPIPE, before);
}

BOOST_FIXTURE_TEST_CASE(terminal_that_nobody_reads_does_not_stall_a_writer, test::leftovers) {
  test::pty terminal;
  auto own = kernel::open_unblocked(terminal.slave());
  BOOST_REQUIRE(own);
  std::string line(3000, 'x');
  line += '\n';
  unsigned written = 0;
  while (kernel::write_now(own.get(), line)) BOOST_REQUIRE(++written < 1000);
  char buffer[65536];
  do {  // the kernel hands on what was written in its own time
    BOOST_REQUIRE(kernel::wait_readable(terminal.master(), std::chrono::seconds(20)));
    BOOST_REQUIRE(::read(terminal.master(), buffer, sizeof buffer) > 0);
  } while (!kernel::write_now(own.get(), "again\n"));
}

BOOST_FIXTURE_TEST_CASE(pipe_filled_by_another_does_not_stall_a_writer, test::leftovers) {
  auto pipe = kernel::make_output_pipe();
  auto own = kernel::open_unblocked(pipe.theirs.get());
  BOOST_REQUIRE(own);
  BOOST_TEST((::fcntl(own.get(), F_GETFL) & O_NONBLOCK) != 0);
  BOOST_TEST((::fcntl(own.get(), F_GETFD) & FD_CLOEXEC) != 0);
  BOOST_TEST((::fcntl(pipe.theirs.get(), F_GETFL) & O_NONBLOCK) == 0);  // others are not disturbed
  BOOST_TEST(kernel::write_now(own.get(), "line\n"));
  test::temporary_directory directory;
  auto file = kernel::open_output_file(directory / "log");
  BOOST_CHECK(!kernel::open_unblocked(file.get()));  // another offset would overwrite it
}

BOOST_AUTO_TEST_SUITE_END()
