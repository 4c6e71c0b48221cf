#include "kernel/control_socket.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernel/error.hpp"

namespace supervisor::kernel {

namespace {

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw_errno(path, ENAMETOOLONG);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

void make_directory_of(const std::string& path) {
  auto slash = path.rfind('/');
  if (slash == std::string::npos || slash == 0) return;
  auto directory = path.substr(0, slash);
  // The system's directory is for all users' eyes; one below XDG_RUNTIME_DIR is its user's alone.
  mode_t mode = directory == "/run/prefork" ? 0755 : 0700;
  struct stat info;
  if (::stat(directory.c_str(), &info) == 0) return;
  if (::mkdir(directory.c_str(), mode) != 0 && errno != EEXIST)
    throw_errno("cannot make the directory " + directory);
}

std::string lock_path(const std::string& path) {
  make_directory_of(path);
  return path + ".lock";
}

unique_fd listen_on(const std::string& path) {
  auto address = address_of(path);
  unique_fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) throw_errno(path);
  struct stat info;
  if (::lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) throw_errno(path + " is not a socket", EEXIST);
    if (::unlink(path.c_str()) != 0) throw_errno(path);
  }
  // Before bind(2), which gives the file the socket's mode: it is never open to others.
  if (::fchmod(fd.get(), 0600) != 0) throw_errno(path);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    throw_errno(path);
  if (::listen(fd.get(), 128) != 0) {
    int error = errno;
    ::unlink(path.c_str());
    throw_errno(path, error);
  }
  return fd;
}

}  // namespace

peer peer_of(int fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
    throw_errno("SO_PEERCRED");
  return {credentials.pid, credentials.uid};
}

control_socket::control_socket(std::string path, pid_t master)
    : path_(std::move(path)), lock_(lock_path(path_), master), fd_(listen_on(path_)) {}

control_socket::~control_socket() { ::unlink(path_.c_str()); }  // the lock is still held

}  // namespace supervisor::kernel
