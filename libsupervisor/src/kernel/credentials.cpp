#include "kernel/credentials.hpp"

#include <grp.h>
#include <pwd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>

#include "kernel/error.hpp"

namespace supervisor::kernel {

namespace {

std::optional<unsigned> number(const std::string& text) {
  unsigned value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return {};
  return value;
}

/// Calls one of getpwnam_r's family with a buffer that is large enough.
template <typename Record, typename Call>
bool query(std::vector<char>& buffer, Record& record, Call call) {
  buffer.resize(1024);
  for (;;) {
    Record* found = nullptr;
    int error = call(&record, buffer.data(), buffer.size(), &found);
    if (error == ERANGE && buffer.size() < (1u << 20))
      buffer.resize(buffer.size() * 2);
    else if (error == EINTR)
      continue;
    else
      return found != nullptr;
  }
}

std::vector<gid_t> groups_of(const char* user, gid_t own) {
  int count = 32;
  std::vector<gid_t> groups(32);
  while (::getgrouplist(user, own, groups.data(), &count) < 0)
    groups.resize(static_cast<std::size_t>(count));
  groups.resize(static_cast<std::size_t>(count));
  return groups;
}

gid_t find_group(const std::string& name) {
  if (auto id = number(name)) return *id;
  std::vector<char> buffer;
  group record{};
  auto by_name = [&](auto... rest) { return ::getgrnam_r(name.c_str(), rest...); };
  if (!query(buffer, record, by_name)) throw_errno("unknown group '" + name + "'", EINVAL);
  return record.gr_gid;
}

}  // namespace

credentials look_up(const std::string& user, const std::string& group) {
  credentials result;
  if (!group.empty()) result.group = find_group(group);
  if (user.empty()) {
    if (result.group) result.groups.emplace();
    return result;
  }
  std::vector<char> buffer;
  passwd record{};
  auto id = number(user);
  bool known =
      id ? query(buffer, record, [&](auto... rest) { return ::getpwuid_r(*id, rest...); })
         : query(buffer, record, [&](auto... rest) { return ::getpwnam_r(user.c_str(), rest...); });
  if (!known && !id) throw_errno("unknown user '" + user + "'", EINVAL);
  result.user = known ? record.pw_uid : *id;
  // A bare number that no database knows: no group is known either, so none of ours may stay.
  if (!result.group) result.group = known ? record.pw_gid : *id;
  result.groups = known ? groups_of(record.pw_name, *result.group) : std::vector<gid_t>{};
  return result;
}

const char* assume(const credentials& who) noexcept {
  // As one who may not set groups and need not: staying oneself is no error.
  if (who.user == ::geteuid() && who.group == ::getegid() && who.user != 0u) return nullptr;
  if (who.groups && ::syscall(SYS_setgroups, who.groups->size(), who.groups->data()) < 0)
    return "setgroups";
  if (who.group && ::syscall(SYS_setresgid, *who.group, *who.group, *who.group) < 0)
    return "setgid";
  if (who.user && ::syscall(SYS_setresuid, *who.user, *who.user, *who.user) < 0) return "setuid";
  return nullptr;
}

}  // namespace supervisor::kernel
