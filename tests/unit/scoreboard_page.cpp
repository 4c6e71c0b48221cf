// A worker's page of shared memory, as others read it.
#include "kernel/scoreboard.hpp"

#include <atomic>
#include <boost/test/unit_test.hpp>
#include <memory>
#include <thread>

namespace kernel = supervisor::kernel;
using supervisor::scoreboard;
using namespace std::chrono_literals;

namespace {

constexpr supervisor::time_point noon{12h};

struct fixture {
  void begin(std::uint32_t note, std::string_view text, supervisor::time_point at) {
    cell->texts[note].write(text);
    cell->latest = note;
    cell->latest_since = at.time_since_epoch().count();
    if (cell->in_flight == 0) {
      cell->oldest = note;
      cell->oldest_since = at.time_since_epoch().count();
    }
    ++cell->in_flight;
    ++cell->changes;
  }
  scoreboard seen() const { return kernel::read(*cell, noon); }

  std::unique_ptr<kernel::activity> cell = std::make_unique<kernel::activity>();
};

scoreboard with(unsigned in_flight, std::string what, supervisor::duration age) {
  scoreboard board;
  board.now = scoreboard::phase::serving;
  board.in_flight = in_flight;
  board.latest = {std::move(what), age};
  return board;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(scoreboard_page, fixture)

BOOST_AUTO_TEST_CASE(a_cleared_page_is_a_worker_that_starts) {
  BOOST_TEST((seen() == scoreboard()));
  begin(0, "GET /", noon);
  cell->phase = 1;
  cell->clear();
  BOOST_TEST((seen() == scoreboard()));
}

BOOST_AUTO_TEST_CASE(the_oldest_and_the_latest_are_told_with_their_age) {
  begin(3, "GET /slow", noon - 12s);
  begin(7, "GET /crash", noon - 1200ms);
  BOOST_TEST(seen().in_flight == 2u);
  BOOST_TEST(seen().oldest.what == "GET /slow");
  BOOST_TEST((seen().oldest.age == 12s));
  BOOST_TEST(seen().latest.what == "GET /crash");
  BOOST_TEST((seen().latest.age == 1200ms));
}

BOOST_AUTO_TEST_CASE(a_text_is_cut_where_there_is_no_more_room) {
  for (std::size_t size : {0, 1, 6, 7, 8, 15, 118, 119, 120, 4000}) {
    const std::string text(size, 'x');
    begin(0, text, noon);
    BOOST_TEST(seen().latest.what == text.substr(0, kernel::activity::note::most));
  }
}

BOOST_AUTO_TEST_CASE(a_request_for_which_there_was_no_note_has_only_an_age) {
  begin(0, "", noon - 2s);
  cell->oldest = kernel::activity::notes;
  BOOST_TEST(seen().oldest.what.empty());
  BOOST_TEST((seen().oldest.age == 2s));
}

BOOST_AUTO_TEST_CASE(a_clock_that_is_behind_makes_no_negative_age) {
  begin(0, "GET /", noon + 4ms);
  BOOST_TEST((seen().latest.age == 0s));
}

BOOST_AUTO_TEST_CASE(no_reader_sees_a_mixture_of_two_texts) {
  const std::string texts[] = {std::string(100, 'a'), std::string(110, 'b'), "c"};
  std::atomic<bool> done = false;
  begin(0, texts[0], noon);
  std::thread writer([&] {
    for (unsigned i = 0; !done; ++i) {
      cell->changes.fetch_add(1, std::memory_order_relaxed);
      std::atomic_thread_fence(std::memory_order_release);
      cell->texts[i % 2].write(texts[i % 3]);
      cell->oldest.store(i % 2, std::memory_order_release);
      cell->latest.store(i % 2, std::memory_order_release);
      cell->changes.fetch_add(1, std::memory_order_release);
    }
  });
  unsigned whole = 0, attempts = 0;
  for (; whole < 10'000 && attempts < 10'000'000; ++attempts) {
    auto what = seen().latest.what;
    if (what.empty()) continue;  // too fast to be read
    if (std::ranges::find(texts, what) == std::end(texts)) break;
    ++whole;
  }
  done = true;
  writer.join();
  BOOST_TEST(whole == 10'000u);
}

BOOST_AUTO_TEST_CASE(in_words) {
  struct {
    scoreboard board;
    std::string phase, work;
  } const table[] = {
      {scoreboard(), "starting", ""},
      {with(0, "", 0s), "idle", ""},
      {with(1, "GET /crash", 1200ms), "busy", "GET /crash, 1.2 s in"},
      {with(1, "", 40ms), "busy", "a request, 40 ms in"},
      {with(4, "GET /a\nb", 1s), "busy", "GET /a\nb, 1 s in; 3 more in flight"},
  };
  for (auto& row : table) {
    BOOST_TEST(describe_phase(row.board) == row.phase);
    BOOST_TEST(describe_work(row.board, row.board.latest) == row.work);
  }
}

BOOST_AUTO_TEST_SUITE_END()
