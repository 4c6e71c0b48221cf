// Pidfiles and the control socket's lock, on real files.
#include "kernel/lock_file.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/system/system_error.hpp>
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include "kernel/control_socket.hpp"

BOOST_AUTO_TEST_SUITE(lock_file)

namespace files = std::filesystem;
using boost::system::system_error;
using supervisor::kernel::already_locked;
using supervisor::kernel::control_socket;

namespace {

struct directory {
  directory() {
    std::string pattern = files::temp_directory_path() / "lock_file.XXXXXX";
    path = ::mkdtemp(pattern.data());
  }
  ~directory() { files::remove_all(path); }
  std::string operator/(const char* name) const { return path / name; }
  files::path path;
};

std::string content(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

int connect_to(const std::string& path) {
  supervisor::kernel::unique_fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ? 0
                                                                                         : errno;
}

}  // namespace

BOOST_AUTO_TEST_CASE(it_holds_the_pid_and_goes_with_its_holder) {
  directory there;
  auto path = there / "pid";
  {
    supervisor::kernel::lock_file lock(path, 4711);
    BOOST_TEST(content(path) == "4711\n");
  }
  BOOST_TEST(!files::exists(path));
}

BOOST_AUTO_TEST_CASE(a_second_one_is_refused_and_told_who_holds_it) {
  directory there;
  auto path = there / "pid";
  supervisor::kernel::lock_file first(path, 4711);
  BOOST_CHECK_EXCEPTION(supervisor::kernel::lock_file(path, 1), already_locked,
                        [](const already_locked& e) { return e.holder() == 4711; });
  BOOST_TEST(content(path) == "4711\n");
}

BOOST_AUTO_TEST_CASE(a_dead_holders_file_is_taken_over) {
  directory there;
  auto path = there / "pid";
  write(path, "123456789\n");
  supervisor::kernel::lock_file lock(path, 7);
  BOOST_TEST(content(path) == "7\n");
}

BOOST_AUTO_TEST_CASE(other_files_are_left_alone) {
  directory there;
  for (auto* text : {"precious", "12 34", "-5", "0"}) {
    auto path = there / "file";
    write(path, text);
    BOOST_CHECK_THROW(supervisor::kernel::lock_file(path, 7), system_error);
    BOOST_TEST(content(path) == text);
  }
  BOOST_CHECK_THROW(supervisor::kernel::lock_file(there.path, 7), system_error);
  files::create_symlink(there / "file", there / "link");
  BOOST_CHECK_THROW(supervisor::kernel::lock_file(there / "link", 7), system_error);
  ::mkfifo((there / "fifo").c_str(), 0600);
  BOOST_CHECK_THROW(supervisor::kernel::lock_file(there / "fifo", 7), system_error);
}

BOOST_AUTO_TEST_CASE(what_another_put_in_its_place_is_not_removed) {
  directory there;
  auto path = there / "pid";
  std::optional<supervisor::kernel::lock_file> lock(std::in_place, path, 7);
  files::remove(path);
  write(path, "8\n");
  lock.reset();
  BOOST_TEST(content(path) == "8\n");
}

BOOST_AUTO_TEST_CASE(a_control_socket_is_private_and_leaves_nothing) {
  directory there;
  auto path = there / "run/web.sock";
  {
    control_socket socket(path, 4711);
    struct stat info;
    BOOST_REQUIRE(::stat(path.c_str(), &info) == 0);
    BOOST_TEST((info.st_mode & 0777) == 0600u);
    BOOST_REQUIRE(::stat((there / "run").c_str(), &info) == 0);
    BOOST_TEST((info.st_mode & 0777) == 0700u);
    BOOST_TEST(connect_to(path) == 0);
    BOOST_CHECK_THROW(control_socket(path, 1), already_locked);
    BOOST_TEST(connect_to(path) == 0, "a refused master took nothing away");
  }
  BOOST_TEST(files::is_empty(there.path / "run"));
}

BOOST_AUTO_TEST_CASE(a_stale_socket_is_replaced_but_no_other_file) {
  directory there;
  auto path = there / "web.sock";
  {
    supervisor::kernel::unique_fd old(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    BOOST_REQUIRE(::bind(old.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  write(path + ".lock", "99999\n");
  {
    control_socket socket(path, 4711);
    BOOST_TEST(connect_to(path) == 0);
  }
  BOOST_TEST(files::is_empty(there.path));

  write(path, "precious");
  BOOST_CHECK_THROW(control_socket(path, 1), system_error);
  BOOST_TEST(content(path) == "precious");
  BOOST_TEST(!files::exists(path + ".lock"));
}

BOOST_AUTO_TEST_CASE(a_path_that_cannot_be_is_an_error) {
  directory there;
  BOOST_CHECK_THROW(control_socket(there / "no/such/web.sock", 1), system_error);
  BOOST_CHECK_THROW(control_socket(there / std::string(120, 'x').c_str(), 1), system_error);
  BOOST_TEST(files::is_empty(there.path));
}

BOOST_AUTO_TEST_SUITE_END()
