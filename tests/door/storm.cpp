// Everything at once, in a program that has signals, threads and children of its own: four threads
// run its loop, two supervisors live in it, and a thread waits for any child.
#include <spawn.h>
#include <sys/wait.h>

#include <atomic>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/strand.hpp>
#include <random>
#include <set>

#include "door/host_program.hpp"

namespace asio = boost::asio;
using namespace test;

extern char** environ;

namespace {

constexpr unsigned threads_that_ask = 4;
constexpr unsigned questions = 40;  // of each

/// A thread that makes children of its own and waits, not caring for which.
class careless_parent {
 public:
  careless_parent() : thread_([this] { run(); }) {}
  ~careless_parent() { finish(); }
  void finish() {
    ending_ = true;
    if (thread_.joinable()) thread_.join();
  }
  unsigned made() const { return made_; }
  unsigned got_back() const { return got_back_; }
  unsigned strangers() const { return strangers_; }

 private:
  void run() {
    while (!ending_) {
      std::string program = TEST_CHILD, action = "exit", code = "0";
      char* arguments[] = {program.data(), action.data(), code.data(), nullptr};
      pid_t pid = 0;
      if (::posix_spawn(&pid, TEST_CHILD, nullptr, nullptr, arguments, environ) != 0) continue;
      ++made_;
      own_.insert(pid);
      while (!own_.empty()) wait_for_any();
    }
  }
  void wait_for_any() {
    int status = 0;
    pid_t pid = ::waitpid(-1, &status, 0);
    if (pid <= 0) return;
    if (own_.erase(pid))
      ++got_back_;
    else
      ++strangers_;
  }

  std::atomic<bool> ending_ = false;
  std::set<pid_t> own_;
  unsigned made_ = 0, got_back_ = 0, strangers_ = 0;
  std::thread thread_;
};

/// The program's own way with signals.
class own_signals {
 public:
  explicit own_signals(asio::io_context& context)
      : strand_(asio::make_strand(context)), set_(strand_, SIGUSR1, SIGTERM) {
    asio::post(strand_, [this] { wait(); });
  }
  /// Waits until `number` was seen once more than before.
  void expect(int number) {
    auto before = seen(number).load();
    ::kill(::getpid(), number);
    auto deadline = std::chrono::steady_clock::now() + 30s;
    while (seen(number) == before && std::chrono::steady_clock::now() < deadline)
      std::this_thread::yield();
    BOOST_TEST(seen(number) > before);
  }
  void cancel() {
    std::promise<void> done;
    asio::post(strand_, [&] {
      set_.clear();
      done.set_value();
    });
    get(done.get_future());
  }

 private:
  std::atomic<unsigned>& seen(int number) { return number == SIGUSR1 ? user_ : term_; }
  void wait() {
    set_.async_wait([this](boost::system::error_code error, int number) {
      if (error) return;
      ++seen(number);
      wait();
    });
  }

  asio::strand<asio::io_context::executor_type> strand_;
  asio::signal_set set_;
  std::atomic<unsigned> user_ = 0, term_ = 0;
};

/// Asks for this and that, from a thread outside the loop; each question is answered.
void ask(std::vector<supervisor::pool> pools, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::future<supervisor::outcome>> answers;
  std::vector<std::future<boost::system::error_code>> signals;
  for (unsigned i = 0; i < questions; ++i) {
    auto& pool = pools[random() % pools.size()];
    switch (random() % 8) {
      case 0:
        answers.push_back(pool.async_resize(1 + random() % 4, use_future));
        break;
      case 1:
        answers.push_back(pool.async_roll(use_future));
        break;
      case 2:
        answers.push_back(pool.async_restart(random() % 4, use_future));
        break;
      case 3:
        answers.push_back(pool.async_drain(use_future));
        answers.push_back(pool.async_resume(use_future));
        break;
      case 4:
        answers.push_back(pool.async_settled(use_future));
        break;
      default:
        signals.push_back(code([&pool, slot = static_cast<unsigned>(random() % 4)](auto token) {
          pool.async_signal(slot, SIGKILL, token);
        }));
    }
    // Not so fast that nothing ever runs.
    if (i % 4 == 3) get(pool.async_status(use_future));
  }
  for (auto& answer : answers) get(std::move(answer));
  // Some are of no such slot, or of one that is dead already.
  for (auto& sent : signals) get(std::move(sent));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(storm)

BOOST_FIXTURE_TEST_CASE(two_supervisors_in_a_program_with_a_life_of_its_own, host_program) {
  run(4);
  own_signals signals(context);
  careless_parent parent;
  {
    supervisor::supervisor a(context.get_executor(), options("a"));
    supervisor::supervisor b(context.get_executor(), options("b"));
    std::vector<supervisor::pool> pools;
    for (auto* sup : {&a, &b})
      for (auto* name : {"web", "jobs"})
        pools.push_back(get(sup->async_pool(name, worker({"print", "x", "sleep"}), 2, use_future)));

    std::vector<std::thread> askers;
    for (unsigned i = 0; i < threads_that_ask; ++i)
      askers.emplace_back([&pools, i] { ask(pools, i); });
    signals.expect(SIGUSR1);
    signals.expect(SIGTERM);
    for (auto& asker : askers) asker.join();
    signals.expect(SIGUSR1);

    for (auto& pool : pools) get(pool.async_resume(use_future));
    for (auto& pool : pools) {
      auto size = get(pool.async_status(use_future)).target;
      get(pool.async_resize(size, use_future));
      BOOST_TEST(get(pool.async_status(use_future)).ready == size);
    }
    auto a_stops = a.async_stop(false, use_future);
    auto b_stops = b.async_stop(true, use_future);
    get(std::move(a_stops));
    get(std::move(b_stops));
  }
  parent.finish();
  // Its own children are its own, always; ours it may have taken.
  BOOST_TEST(parent.made() == parent.got_back());
  BOOST_TEST_MESSAGE("took " << parent.strangers() << " statuses of " << parent.made()
                             << " children, supervisors lost "
                             << book.count({"is gone, status lost"}));
  BOOST_TEST(book.count({"is gone, status lost"}) <= parent.strangers());
  signals.cancel();
}

BOOST_AUTO_TEST_SUITE_END()
