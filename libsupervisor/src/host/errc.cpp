#include "supervisor/errc.hpp"

#include <string>

namespace supervisor {

namespace {

class category final : public boost::system::error_category {
 public:
  const char* name() const noexcept override { return "supervisor"; }
  std::string message(int value) const override {
    switch (static_cast<errc>(value)) {
      case errc::no_such_pool:
        return "no such pool";
      case errc::no_such_slot:
        return "no such slot";
      case errc::pool_closed:
        return "the pool is stopping or has stopped";
      case errc::rolled_back:
        return "rolled back, the old generation serves";
      case errc::superseded:
        return "superseded by another command";
      case errc::invalid_argument:
        return "invalid argument";
      case errc::degraded:
        return "not every wanted worker is ready";
      case errc::timed_out:
        return "timed out";
      case errc::no_rollout:
        return "no rollout is under way";
      case errc::not_kept:
        return "that generation is not kept";
      case errc::upgrading:
        return "an upgrade is under way";
      case errc::no_keeper:
        return "the workers would end with this master: it has no keeper, or was started with "
               "--die-with-master";
      case errc::statuses_lost:
        return "SIGCHLD is ignored (SIG_IGN or SA_NOCLDWAIT), so the kernel would throw away how "
               "children end, waitid(2); before the supervisor is made give SIGCHLD its default "
               "(SIG_DFL), or a handler without SA_NOCLDWAIT";
    }
    return "error " + std::to_string(value);
  }
};

}  // namespace

const boost::system::error_category& supervisor_category() noexcept {
  static const category instance;
  return instance;
}

boost::system::error_code make_error_code(errc e) noexcept {
  return {static_cast<int>(e), supervisor_category()};
}

}  // namespace supervisor
