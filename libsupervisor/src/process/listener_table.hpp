// The listening sockets of a host, by name.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernel/service_manager.hpp"
#include "kernel/unique_fd.hpp"
#include "process/descriptor_store.hpp"
#include "process/shards.hpp"
#include "supervisor/listener.hpp"

namespace supervisor {

/// A socket, open for as long as a name means it or a generation has it.
struct open_listener {
  open_listener(listener_spec a, kernel::unique_fd socket, kernel::unique_fd made)
      : address(std::move(a)), fd(std::move(socket)), file(std::move(made)) {}
  ~open_listener();
  open_listener(const open_listener&) = delete;
  void remove_file() noexcept;
  listener_spec address;
  kernel::unique_fd fd;
  descriptor_store* store = nullptr;  ///< holds both, to outlive us
  descriptor_store::index where = 0, file_where = 0;
  kernel::unique_fd file;  ///< of a unix socket that we made; an inherited one's is its maker's
  std::vector<kernel::unique_fd> others;  ///< of a sharded one that was passed to us, until
  std::shared_ptr<shards> parts;          ///< it has them; of a sharded one
  /// It, or all of its shards.
  std::vector<int> sockets() const { return parts ? parts->sockets() : std::vector{fd.get()}; }
};

class listener_table {
 public:
  using named = std::pair<std::string, std::shared_ptr<open_listener>>;
  /// A name means this socket from now on; none (-1) any more. A sharded one has several, by their
  /// places.
  using observer = std::function<void(const std::string& name, unsigned place, int socket)>;
  /// `inherited` are taken where one is to be opened under the same name, at the same address.
  listener_table(std::vector<kernel::inherited_listener> inherited, observer told)
      : inherited_(std::move(inherited)), told_(std::move(told)) {}

  /// See host::listen().
  listener_spec open(const listener_spec& wanted);
  void close(const std::string& name);
  /// Such a socket has another shard at this place, or none.
  void tell_shard(const open_listener&, unsigned place, int socket) const;
  void remove_files() noexcept;
  /// Those inherited that nobody has opened: clients of theirs would wait for ever.
  void close_unclaimed() { inherited_.clear(); }
  std::vector<listener_spec> addresses() const;
  /// Those of these names that are open; without names all.
  std::vector<named> find(const std::optional<std::vector<std::string>>& names) const;
  /// Sockets that another process has left open, and what their names mean.
  void restore(std::vector<std::shared_ptr<open_listener>>, std::vector<named>);
  const std::vector<named>& names() const noexcept { return names_; }

 private:
  std::shared_ptr<open_listener> find_open(const std::string& address);
  std::shared_ptr<open_listener> make(listener_spec&);
  std::vector<kernel::unique_fd> take_others(const std::string& name);
  void tell_gone(const named&) const;

  std::vector<named> names_;
  std::vector<std::weak_ptr<open_listener>> sockets_;  ///< those of closed names too
  std::vector<kernel::inherited_listener> inherited_;
  observer told_;
};

/// By name, as a worker gets them.
std::vector<std::pair<std::string, int>> numbers_of(const std::vector<listener_table::named>&);

/// The sockets of one worker.
struct taken_listeners {
  std::vector<std::pair<std::string, int>> all;
  std::vector<std::pair<std::size_t, int>> own;  ///< those of its slot alone, by place in `all`
  std::vector<std::unique_ptr<shards::lease>> leases;
};
/// Throws launch_failure.
taken_listeners take_listeners(const std::vector<listener_table::named>&, unsigned slot,
                               const std::string& pool, bool is_function);

}  // namespace supervisor
