// Listening sockets and packets, in the real kernel.
#include "kernel/sockets.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/system/system_error.hpp>
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <latch>
#include <string>
#include <thread>

using supervisor::listener_spec;
using namespace supervisor::kernel;

namespace {

/// A directory of its own, gone at the end.
struct scratch {
  std::string path = "/tmp/supervisor-test-XXXXXX";
  scratch() { BOOST_REQUIRE(mkdtemp(path.data()) != nullptr); }
  ~scratch() { std::filesystem::remove_all(path); }
};

int flag(int fd, int option) {
  int value = -1;
  socklen_t length = sizeof value;
  getsockopt(fd, SOL_SOCKET, option, &value, &length);
  return value;
}

bool connects(int family, const sockaddr* address, socklen_t length) {
  unique_fd client(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return connect(client.get(), address, length) == 0;
}

bool connects_v4(std::uint16_t port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return connects(AF_INET, reinterpret_cast<sockaddr*>(&to), sizeof to);
}

bool connects_v6(std::uint16_t port) {
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  to.sin6_port = htons(port);
  to.sin6_addr = in6addr_loopback;
  return connects(AF_INET6, reinterpret_cast<sockaddr*>(&to), sizeof to);
}

bool connects_unix(const std::string& path) {
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  path.copy(to.sun_path, sizeof to.sun_path - 1);
  return connects(AF_UNIX, reinterpret_cast<sockaddr*>(&to), sizeof to);
}

void check_refused(listener_spec spec, int error, const std::string& says) {
  const auto right = [&](const boost::system::system_error& e) {
    const std::string what = e.what();
    BOOST_TEST_INFO(what);
    BOOST_TEST(e.code().value() == error);
    BOOST_TEST_INFO(what);
    BOOST_TEST(what.starts_with(spec.address() + ": "));
    BOOST_TEST_INFO(what);
    BOOST_TEST(what.find(says) != what.npos);
    return true;
  };
  BOOST_CHECK_EXCEPTION(open_listener(spec), boost::system::system_error, right);
}

int open_descriptors() {
  int count = 0;
  for (auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    count += !entry.path().empty();
  return count;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(sockets)

BOOST_AUTO_TEST_CASE(a_tcp_listener_tells_its_port_and_does_not_block_or_leak) {
  for (const char* text : {"127.0.0.1:0", "localhost:0", "[::1]:0", "*:0"}) {
    BOOST_TEST_CONTEXT(text) {
      auto spec = listener_spec::parse(text);
      const unique_fd socket = open_listener(spec);
      BOOST_TEST(spec.port != 0);
      BOOST_TEST((fcntl(socket.get(), F_GETFD) & FD_CLOEXEC) != 0);
      BOOST_TEST((fcntl(socket.get(), F_GETFL) & O_NONBLOCK) != 0);
      BOOST_TEST(flag(socket.get(), SO_ACCEPTCONN) == 1);
      BOOST_TEST(flag(socket.get(), SO_REUSEADDR) == 1);
      const bool v6 = spec.host == "::1";
      BOOST_TEST(connects_v4(spec.port) == !v6);
      BOOST_TEST(connects_v6(spec.port) == (v6 || spec.host == "*"));
    }
  }
}

BOOST_AUTO_TEST_CASE(what_cannot_be_opened_is_told_with_the_way_out) {
  const int before = open_descriptors();
  auto taken = listener_spec::parse("127.0.0.1:0");
  {
    const unique_fd holder = open_listener(taken);
    check_refused(taken, EADDRINUSE, "ss -ltnp");
  }
  check_refused(listener_spec::parse("192.0.2.1:0"), EADDRNOTAVAIL, "* listens on all");
  check_refused(listener_spec::parse("unix:/does/not/exist/s"), ENOENT, "must exist");
  check_refused(listener_spec::parse("fd:999"), EBADF, "open listening socket");
  check_refused(listener_spec::parse("fd:0"), ENOTSOCK, "open listening socket");
  BOOST_TEST(open_descriptors() == before);
}

BOOST_AUTO_TEST_CASE(a_stale_unix_socket_is_replaced_and_a_live_one_is_not) {
  scratch directory;
  auto spec = listener_spec::parse("unix:" + directory.path + "/s");
  {
    const unique_fd first = open_listener(spec);
    BOOST_TEST(connects_unix(spec.host));
    check_refused(spec, EADDRINUSE, "another program answers");
    BOOST_TEST(connects_unix(spec.host));
  }
  BOOST_TEST(!connects_unix(spec.host));  // the file is there, nobody listens
  const unique_fd second = open_listener(spec);
  BOOST_TEST(connects_unix(spec.host));
}

BOOST_AUTO_TEST_CASE(a_unix_socket_s_file_is_removed_unless_it_is_another_program_s) {
  scratch directory;
  auto spec = listener_spec::parse("unix:" + directory.path + "/s");
  const unique_fd first = open_listener(spec);
  const auto pinned = supervisor::kernel::pin_file(spec);
  std::filesystem::remove(spec.host);  // by somebody's cleaning
  const unique_fd second = open_listener(spec);
  remove_listener(spec, pinned);
  BOOST_TEST(connects_unix(spec.host));
  remove_listener(spec, supervisor::kernel::pin_file(spec));
  BOOST_TEST(!std::filesystem::exists(spec.host));
  remove_listener(spec, pinned);  // nor does one that is gone disturb
}

BOOST_AUTO_TEST_CASE(of_many_who_open_one_unix_socket_one_has_it) {
  scratch directory;
  auto spec = listener_spec::parse("unix:" + directory.path + "/s");
  for (int round = 0; round < 20; ++round) {
    unique_fd(open_listener(spec)).reset();  // stale from here on
    constexpr int rivals = 8;
    std::vector<unique_fd> had(rivals);
    std::latch start(rivals);
    {
      std::vector<std::jthread> all;
      for (auto& socket : had)
        all.emplace_back([&, mine = spec]() mutable {
          start.arrive_and_wait();
          try {
            socket = open_listener(mine);
          } catch (const boost::system::system_error&) {
          }
        });
    }
    BOOST_TEST(std::ranges::count_if(had, [](auto& socket) { return !!socket; }) == 1);
    BOOST_TEST(connects_unix(spec.host));
  }
}

BOOST_AUTO_TEST_CASE(a_live_unix_socket_whose_backlog_is_full_is_not_stale) {
  scratch directory;
  auto spec = listener_spec::parse("unix:" + directory.path + "/s");
  spec.backlog = 0;
  const unique_fd first = open_listener(spec);
  unique_fd waiting(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  spec.host.copy(to.sun_path, sizeof to.sun_path - 1);
  BOOST_REQUIRE(connect(waiting.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
  check_refused(spec, EADDRINUSE, "another program answers");
}

BOOST_AUTO_TEST_CASE(a_file_that_is_no_socket_is_left_alone) {
  scratch directory;
  auto spec = listener_spec::parse("unix:" + directory.path + "/precious");
  std::ofstream(spec.host) << "data";
  check_refused(spec, EEXIST, "not a socket");
  BOOST_TEST(std::filesystem::file_size(spec.host) == 4u);
}

BOOST_AUTO_TEST_CASE(an_inherited_listener_is_duplicated) {
  auto tcp = listener_spec::parse("127.0.0.1:0");
  const unique_fd original = open_listener(tcp);
  auto spec = listener_spec::parse("fd:" + std::to_string(original.get()));
  const unique_fd copy = open_listener(spec);
  BOOST_TEST(copy.get() != original.get());
  BOOST_TEST(spec.port == tcp.port);
  BOOST_TEST((fcntl(copy.get(), F_GETFD) & FD_CLOEXEC) != 0);

  unique_fd silent(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  check_refused(listener_spec::parse("fd:" + std::to_string(silent.get())), EINVAL,
                "not a listening stream socket");
}

BOOST_AUTO_TEST_CASE(packets_carry_descriptors) {
  int pair[2];
  BOOST_REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
  unique_fd left(pair[0]), right(pair[1]);
  const int before = open_descriptors();
  {
    packet got;
    BOOST_TEST((receive_packet(right.get(), got, MSG_DONTWAIT) == received::nothing));
    const int numbers[] = {0, left.get(), 2};
    const std::string large(100'000, 'x');
    BOOST_REQUIRE(send_packet(left.get(), large, numbers) == 0);
    BOOST_REQUIRE(send_packet(left.get(), "small") == 0);
    BOOST_TEST((receive_packet(right.get(), got) == received::packet));
    BOOST_TEST(got.data == large);
    BOOST_TEST(!got.cut);
    BOOST_REQUIRE(got.descriptors.size() == 3u);
    for (auto& fd : got.descriptors) BOOST_TEST((fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
    BOOST_TEST((receive_packet(right.get(), got) == received::packet));
    BOOST_TEST(got.data == "small");
    BOOST_TEST(got.descriptors.empty());
    BOOST_TEST(open_descriptors() == before);
    left.reset();
    BOOST_TEST((receive_packet(right.get(), got) == received::end));
    BOOST_TEST(send_packet(right.get(), "nobody") == EPIPE);
  }
}

BOOST_AUTO_TEST_CASE(last_words_of_one_who_left_ours_unread_are_received) {
  int pair[2];
  BOOST_REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
  unique_fd left(pair[0]), right(pair[1]);
  BOOST_REQUIRE(send_packet(left.get(), "never read") == 0);
  BOOST_REQUIRE(send_packet(right.get(), "forked") == 0);
  right.reset();
  packet got;
  BOOST_TEST((receive_packet(left.get(), got, MSG_DONTWAIT) == received::packet));
  BOOST_TEST(got.data == "forked");
  BOOST_TEST((receive_packet(left.get(), got, MSG_DONTWAIT) == received::end));
}

BOOST_AUTO_TEST_SUITE_END()
