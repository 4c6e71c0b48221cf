// The async_ methods of the supervisor.
#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include "supervision/request.hpp"
#include "supervision/supervisor_impl.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

std::exception_ptr given_up() {
  boost::system::system_error error(asio::error::operation_aborted);
  return std::make_exception_ptr(error);
}

/// Calls `work` where the supervisor is still there; else the request is dropped, and so answered.
template <typename Supervisor, typename Work>
auto where_reached(std::weak_ptr<Supervisor> self, Work work) {
  return [self = std::move(self), work = std::move(work)](auto asked) mutable {
    auto alive = self.lock();
    if (alive && !alive->closing) work(*alive, std::move(asked));
  };
}

asio::awaitable<void> answer_when(std::shared_ptr<request<boost::system::error_code>> asked,
                                  asio::awaitable<void> done) {
  co_await std::move(done);
  asked->answer({});
}

}  // namespace

void supervisor::ask_stop(bool quick, handler<boost::system::error_code> h) {
  using asked = request<boost::system::error_code>;
  auto work = [quick](impl& self, asked::pointer r) {
    self.stops.spawn(answer_when(std::move(r), self.stop(quick)));
  };
  asked::start(executor(), std::move(h), {asio::error::operation_aborted},
               where_reached(std::weak_ptr(impl_), work));
}

void supervisor::ask_pool(std::string name, spec what, unsigned size,
                          handler<std::exception_ptr, ::supervisor::pool> h) {
  using asked = request<std::exception_ptr, ::supervisor::pool>;
  ::supervisor::pool none(nullptr);
  auto work = [none, size, name = std::move(name), what = std::move(what)](
                  impl& self, asked::pointer r) mutable {
    try {
      r->answer({}, self.open(std::move(name), std::move(what), size));
    } catch (...) {
      r->answer(std::current_exception(), none);
    }
  };
  asked::start(executor(), std::move(h), {given_up(), none},
               where_reached(std::weak_ptr(impl_), std::move(work)));
}

void supervisor::ask_listen(listener_spec wanted, handler<std::exception_ptr, listener_spec> h) {
  using asked = request<std::exception_ptr, listener_spec>;
  auto work = [wanted](impl& self, asked::pointer r) {
    try {
      r->answer({}, self.listen(wanted));
    } catch (...) {
      r->answer(std::current_exception(), wanted);
    }
  };
  asked::start(executor(), std::move(h), {given_up(), wanted},
               where_reached(std::weak_ptr(impl_), work));
}

void supervisor::ask_status(handler<std::vector<pool_status>> h) {
  using asked = request<std::vector<pool_status>>;
  auto work = [](impl& self, asked::pointer r) { r->answer(self.status()); };
  asked::start(executor(), std::move(h), {}, where_reached(std::weak_ptr(impl_), work));
}

}  // namespace supervisor
