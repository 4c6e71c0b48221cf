// The mold's side: setup, preload, and a fork for each order.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "kernel/clone_parent.hpp"
#include "kernel/credentials.hpp"
#include "kernel/descriptors.hpp"
#include "kernel/huge_pages.hpp"
#include "kernel/limits.hpp"
#include "kernel/scheduling.hpp"
#include "kernel/signal_mask.hpp"
#include "kernel/sockets.hpp"
#include "kernel/title.hpp"
#include "process/mold.hpp"
#include "process/mold_wire.hpp"
#include "worker/boot.hpp"

namespace supervisor {

using mold_wire::kind;

namespace {

/// Whose children the workers are to be, and whether they go on without it; from mold_variable.
pid_t master = 0;
bool outlives = false;

/// Why this process can be no mold.
struct refusal {
  std::string stage, what;
  int error = 0;
};

struct mold {
  std::string program;
  kernel::unique_fd socket;
  const worker_function* function = nullptr;
  std::string pool;
  std::uint64_t generation = 0;
  std::vector<std::pair<int, rlimit>> limits;
  kernel::credentials who;
  std::vector<std::pair<std::string, kernel::unique_fd>> listeners;
  std::vector<kernel::unique_fd> relay_ends;
  std::vector<relay> relays;
  kernel::activity* cells = nullptr;
  std::size_t cell_count = 0;
};

/// One order as it came.
struct order {
  std::uint64_t id = 0;
  unsigned slot = 0;
  std::size_t cell = 0;
  kernel::unique_fd channel, out, err;
  std::array<std::pair<std::size_t, kernel::unique_fd>, mold_wire::most_own> own;
  std::size_t own_count = 0;
};

// ---- setup -------------------------------------------------------------------------------------

void apply_environment(mold_wire::decoder& in) {
  for (auto count = in.number(); count > 0; --count) {
    const std::string name(in.text()), value(in.text());
    if (setenv(name.c_str(), value.c_str(), 1) != 0)
      throw refusal{"environment", "cannot set '" + name + "'", errno};
  }
}

/// What workers simply inherit is set here, once.
void apply_surroundings(mold_wire::decoder& in) {
  const std::string directory(in.text());
  if (!directory.empty() && chdir(directory.c_str()) != 0) throw refusal{"chdir", directory, errno};
  const bool has_umask = in.number() != 0;
  const auto mask = static_cast<mode_t>(in.number());
  if (has_umask) umask(mask);
}

void read_identity(mold& self, mold_wire::decoder& in) {
  const std::string user(in.text()), group(in.text());
  try {
    self.who = kernel::look_up(user, group);
  } catch (const std::exception& e) {
    throw refusal{"user", e.what()};
  }
  if (in.number() != 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    throw refusal{"no_new_privs", "", errno};
}

void read_limits(mold& self, mold_wire::decoder& in) {
  for (auto count = in.number(); count > 0; --count) {
    const std::string name(in.text());
    const rlim_t soft = in.number(), hard = in.number();
    const auto number = kernel::limit_number(name);
    if (!number) throw refusal{"limits", "unknown limit '" + name + "'"};
    self.limits.emplace_back(*number, rlimit{soft, hard});
  }
}

void read_descriptors(mold& self, mold_wire::decoder& in, kernel::packet& p) {
  self.cell_count = in.number();
  auto next = p.descriptors.begin();
  auto take = [&] {
    if (p.cut || next == p.descriptors.end())
      throw refusal{"mold", "the setup's descriptors did not all arrive", EMFILE};
    return std::move(*next++);
  };
  for (auto count = in.number(); count > 0; --count) {
    std::string name(in.text());
    self.listeners.emplace_back(std::move(name), take());
  }
  for (auto count = in.number(); count > 0; --count) {
    relay each;
    each.listener = in.text();
    each.take = self.relay_ends.emplace_back(take()).get();
    each.give = self.relay_ends.emplace_back(take()).get();
    self.relays.push_back(std::move(each));
  }
  if (self.cell_count == 0) return;
  const auto memory = take();
  void* shared = mmap(nullptr, self.cell_count * sizeof(kernel::activity), PROT_READ | PROT_WRITE,
                      MAP_SHARED, memory.get(), 0);
  if (shared == MAP_FAILED) throw refusal{"mold", "mapping the activity cells", errno};
  self.cells = static_cast<kernel::activity*>(shared);
}

const worker_function& find_function(std::span<const worker_function> functions,
                                     std::string_view name) {
  std::string known;
  for (const auto& f : functions) {
    if (f.name == name) return f;
    known += (known.empty() ? "" : ", ") + f.name;
  }
  throw refusal{"function", "no worker function '" + std::string(name) + "' in this program; " +
                                (known.empty() ? "it has none" : "it has " + known)};
}

void run_preload(const worker_function& function) {
  try {
    if (function.on_preload) function.on_preload();
  } catch (const std::exception& e) {
    throw refusal{"preload", e.what()};
  } catch (...) {
    throw refusal{"preload", "an exception that is no std::exception"};
  }
  // A forked copy of buffered text would be written by every worker.
  std::fflush(nullptr);
}

void refuse_threads() {
  // fork(2) copies one thread: what locks the others hold stays locked in every worker.
  std::error_code error;
  const auto threads = std::distance(std::filesystem::directory_iterator("/proc/self/task", error),
                                     std::filesystem::directory_iterator());
  if (threads > 1)
    throw refusal{"threads", "threads_in_mold_role: this process has " + std::to_string(threads) +
                                 " threads and cannot be forked; start threads in the worker "
                                 "function, not before supervisor::run nor in preload"};
}

/// From here on no signal disturbs the mold, whatever hits its process group or cgroup; it ends
/// when its socket closes. Workers inherit clean dispositions and need only an empty mask.
void settle_signals() {
  if (int error = kernel::reset_signals()) throw refusal{"signals", "", error};
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, nullptr);
}

bool set_up(mold& self, std::span<const worker_function> functions) {
  kernel::packet p;
  if (kernel::receive_packet(self.socket.get(), p) != kernel::received::packet) return false;
  mold_wire::decoder in(p.data);
  if (in.kind() != kind::setup || in.number() != mold_wire::version)
    throw refusal{"mold", "the supervisor speaks another version of the mold's protocol"};
  // Which of several masters of one program it is.
  if (std::string name(in.text()); !name.empty() && name != self.program)
    self.program += " " + name;
  self.pool = in.text();
  self.generation = in.number();
  self.function = &find_function(functions, in.text());
  kernel::set_title(self.program + ": mold " + self.pool + " gen " +
                    std::to_string(self.generation));
  apply_environment(in);
  apply_surroundings(in);
  read_identity(self, in);
  read_limits(self, in);
  read_descriptors(self, in, p);
  run_preload(*self.function);
  refuse_threads();
  kernel::collapse_memory();
  settle_signals();
  kernel::ask_for_short_turns();
  return true;
}

// ---- the worker, until its entry ---------------------------------------------------------------

/// What fails here ends the worker with exit code 70 + stage (see mold.hpp), and a line on stderr.
enum class stage : int { group = 1, stdio, descriptors, limits, identity, death_signal, mask };

[[noreturn]] void give_up(stage at, const char* what, int error) {
  std::string text = std::string("worker start: ") + what + ": " + std::strerror(error) + "\n";
  if (write(STDERR_FILENO, text.data(), text.size()) < 0) _exit(70 + static_cast<int>(at));
  _exit(70 + static_cast<int>(at));
}

/// The mold's own are only in the place of these.
void take_own_listeners(mold& self, order& what) {
  for (auto& [place, socket] : std::span(what.own.data(), what.own_count))
    if (place < self.listeners.size()) self.listeners[place].second = std::move(socket);
}

void arrange_descriptors(const mold& self, const order& what) {
  // Stdin is the mold's: /dev/null.
  if (what.out && dup2(what.out.get(), STDOUT_FILENO) < 0) give_up(stage::stdio, "stdout", errno);
  if (what.err && dup2(what.err.get(), STDERR_FILENO) < 0) give_up(stage::stdio, "stderr", errno);
  std::vector<unsigned> kept{static_cast<unsigned>(what.channel.get())};
  for (const auto& [name, fd] : self.listeners) kept.push_back(static_cast<unsigned>(fd.get()));
  for (const auto& end : self.relay_ends) kept.push_back(static_cast<unsigned>(end.get()));
  std::sort(kept.begin(), kept.end());
  unsigned next = STDERR_FILENO + 1;
  for (unsigned fd : kept) {
    if (fd > next) kernel::close_between(next, fd - 1);
    next = fd + 1;
  }
  kernel::close_between(next, ~0u);
}

void assume_role(const mold& self) {
  for (const auto& [number, value] : self.limits)
    if (int error = kernel::set_limit(number, value)) give_up(stage::limits, "setrlimit", error);
  if (const char* failed = kernel::assume(self.who)) give_up(stage::identity, failed, errno);
  // Last of all that may fail: a change of credentials clears it (PR_SET_PDEATHSIG(2const)). When
  // the master died before, no signal will come.
  if (outlives) return;
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
    give_up(stage::death_signal, "PR_SET_PDEATHSIG", errno);
  if (getppid() != master) give_up(stage::death_signal, "the supervisor is gone", ESRCH);
}

void reseed() {
  unsigned seed = 0;
  if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed)
    seed = static_cast<unsigned>(getpid());
  srandom(seed);  // rand(3) too
  srand48(static_cast<long>(seed));
}

using entry_point = std::function<int(worker_boot, const worker_function&)>;

/// noexcept: an exception must not unwind into the mold's own frames.
[[noreturn]] void become_worker(mold& self, order what, const entry_point& entry) noexcept {
  if (setpgid(0, 0) != 0) give_up(stage::group, "setpgid", errno);
  take_own_listeners(self, what);
  arrange_descriptors(self, what);
  assume_role(self);
  reseed();
  kernel::set_short_name(worker_short_name);
  kernel::set_title(self.program + ": worker " + self.pool + "." + std::to_string(what.slot) +
                    " gen " + std::to_string(self.generation));
  worker_boot boot;
  boot.pool = self.pool;
  boot.slot = what.slot;
  boot.generation = self.generation;
  boot.channel = std::move(what.channel);
  for (const auto& [name, fd] : self.listeners) boot.listeners.emplace_back(name, fd.get());
  boot.relays = self.relays;
  boot.cells = {self.cells, self.cell_count};
  boot.cell = what.cell;
  sigset_t none;
  sigemptyset(&none);
  if (sigprocmask(SIG_SETMASK, &none, nullptr) != 0) give_up(stage::mask, "sigprocmask", errno);
  const int code = entry(std::move(boot), *self.function);
  // Never exit(3): the image's static destructors belong to the mold.
  std::fflush(nullptr);
  _exit(code);
}

// ---- orders ------------------------------------------------------------------------------------

/// False when the supervisor is gone.
bool reply(const mold& self, const mold_wire::encoder& answer) {
  return kernel::send_packet(self.socket.get(), answer.bytes()) == 0;
}

constexpr std::string_view lost_descriptors = "the order's descriptors did not all arrive";

bool reply_failure(const mold& self, std::uint64_t id, int error, std::string_view what) {
  mold_wire::encoder answer(kind::failed);
  return reply(
      self, answer.number(id).text("clone").number(static_cast<std::uint64_t>(error)).text(what));
}

/// The orders of one packet. What is in memory is copied page by page once it is written to after a
/// fork, so this is on the stack, which is written to in any case.
struct order_list {
  std::array<order, mold_wire::batch> orders;
  std::size_t count = 0;
  bool complete = true;  ///< with all their descriptors
};

order_list read_orders(kernel::packet& p) {
  mold_wire::decoder in(p.data);
  if (in.kind() != kind::orders) throw std::runtime_error("unknown packet for the mold");
  order_list list;
  list.count = in.number();
  if (list.count > list.orders.size()) throw std::runtime_error("too many orders for the mold");
  auto next = p.descriptors.begin();
  auto take = [&]() -> kernel::unique_fd {
    list.complete &= !p.cut && next != p.descriptors.end();
    return list.complete ? std::move(*next++) : kernel::unique_fd();
  };
  for (auto& what : std::span(list.orders.data(), list.count)) {
    what.id = in.number();
    what.slot = static_cast<unsigned>(in.number());
    what.cell = in.number();
    const bool has_out = in.number() != 0, has_err = in.number() != 0;
    what.channel = take();
    if (has_out) what.out = take();
    if (has_err) what.err = take();
    what.own_count = in.number();
    if (what.own_count > what.own.size())
      throw std::runtime_error("too many listeners for the mold");
    for (auto& [place, socket] : std::span(what.own.data(), what.own_count)) {
      place = in.number();
      socket = take();
    }
  }
  return list;
}

/// Answers when all are made: the last is not to wait for what concerns the first.
bool serve(mold& self, kernel::packet& p, const entry_point& entry) {
  auto [orders, count, complete] = read_orders(p);
  std::uint64_t answer[2 + 2 * mold_wire::batch] = {static_cast<std::uint64_t>(kind::forked), 0};
  auto* end = answer + 2;
  pid_t made[mold_wire::batch];
  std::array<kernel::unique_fd, mold_wire::batch> pidfds;
  std::array<int, mold_wire::batch> along;
  std::size_t carried = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (!complete) {
      made[i] = -EMFILE;
    } else if (self.cells && orders[i].cell >= self.cell_count) {
      made[i] = -EINVAL;
    } else if (made[i] = kernel::clone_sibling(pidfds[i]); made[i] == 0) {
      become_worker(self, std::move(orders[i]), entry);
    }
    if (made[i] < 0) continue;
    if (pidfds[i]) along[carried++] = pidfds[i].get();
    ++answer[1];
    *end++ = orders[i].id;
    *end++ = static_cast<std::uint64_t>(made[i]);
  }
  std::string_view bytes(reinterpret_cast<const char*>(answer),
                         static_cast<std::size_t>(end - answer) * sizeof *answer);
  // They are by place: all, or none.
  std::span<const int> descriptors(along.data(), carried == answer[1] ? carried : 0);
  if (answer[1] > 0 && kernel::send_packet(self.socket.get(), bytes, descriptors) != 0)
    return false;
  for (std::size_t i = 0; i < count; ++i)
    if (made[i] < 0 &&
        !reply_failure(self, orders[i].id, -made[i], complete ? "" : lost_descriptors))
      return false;
  return true;
}

void use_null_stdin() {
  kernel::unique_fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (null && null.get() != STDIN_FILENO) dup2(null.get(), STDIN_FILENO);
  if (null.get() == STDIN_FILENO) fcntl(null.release(), F_SETFD, 0);
}

}  // namespace

kernel::unique_fd take_mold_socket() {
  const char* value = std::getenv(mold_variable);
  if (!value) return {};
  const std::string text = value;
  unsetenv(mold_variable);
  int fd = -1;
  const char* end = text.data() + text.size();
  auto first = std::from_chars(text.data(), end, fd);
  if (first.ec != std::errc{} || first.ptr == end || *first.ptr != ':') return {};
  auto second = std::from_chars(first.ptr + 1, end, master);
  outlives = second.ec == std::errc{} && second.ptr == text.data() + text.rfind(':') &&
             text.ends_with(mold_outlives);
  if (second.ec != std::errc{} || (second.ptr != end && !outlives)) return {};
  // Between our making and now: nobody is there to talk to.
  if (outlives && master != getppid()) _exit(1);
  if (master != getppid()) return {};
  int type = 0;
  socklen_t length = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_SEQPACKET) return {};
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  return kernel::unique_fd(fd);
}

int run_mold(int argc, char** argv, kernel::unique_fd socket,
             std::span<const worker_function> functions, const entry_point& entry) {
  mold self;
  const std::string_view path = argc > 0 ? argv[0] : "supervisor";
  self.program = path.substr(path.rfind('/') + 1);
  self.socket = std::move(socket);
  if (master == 0) master = getppid();
  // A belt: the closed socket ends the mold too.
  if (!outlives) prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::signal(SIGPIPE, SIG_IGN);  // in preload too
  kernel::take_title_area();
  kernel::set_short_name(mold_short_name);
  use_null_stdin();
  try {
    // Their output is read line by line.
    std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
    if (!set_up(self, functions)) return 0;
    if (!reply(self, mold_wire::encoder(kind::ready))) return 0;
    kernel::packet p;
    while (kernel::receive_packet(self.socket.get(), p, 0, mold_wire::largest_orders) ==
           kernel::received::packet)
      if (!serve(self, p, entry)) break;
    return 0;
  } catch (const refusal& why) {
    mold_wire::encoder answer(kind::refused);
    reply(self,
          answer.text(why.stage).number(static_cast<std::uint64_t>(why.error)).text(why.what));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "mold of pool %s: %s\n", self.pool.c_str(), e.what());
  }
  return 1;
}

}  // namespace supervisor
