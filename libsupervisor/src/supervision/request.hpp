// What was asked for from any thread, and is answered once.
#pragma once

#include <boost/asio/any_completion_executor.hpp>
#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

namespace supervisor {

/// Carries a completion handler to the loop. It is called by its own executor (without one: by the
/// loop), never from within the call that asks. Whoever works for the request holds it; when it is
/// dropped, or the waiting for it is cancelled, it is answered as given up.
template <typename... Results>
class request : public std::enable_shared_from_this<request<Results...>> {
 public:
  using handler = boost::asio::any_completion_handler<void(Results...)>;
  using pointer = std::shared_ptr<request>;

  /// Calls `work` with the request in the loop; any thread may do that.
  template <typename Work>
  static void start(boost::asio::any_io_executor loop, handler h, std::tuple<Results...> given_up,
                    Work work) {
    auto slot = boost::asio::get_associated_cancellation_slot(h);
    auto made = std::make_shared<request>(loop, std::move(h), std::move(given_up));
    if (slot.is_connected()) slot.assign(canceller(loop, made));
    boost::asio::dispatch(loop, [made = std::move(made), work = std::move(work)]() mutable {
      work(std::move(made));
    });
  }

  request(const boost::asio::any_io_executor& loop, handler h, std::tuple<Results...> given_up)
      : loop_(loop),
        handler_(std::move(h)),
        executor_(boost::asio::prefer(boost::asio::get_associated_executor(*handler_, loop),
                                      boost::asio::execution::outstanding_work.tracked)),
        given_up_(std::move(given_up)) {}
  ~request() { give_up(); }

  /// In the loop; the first answer counts.
  void answer(Results... results) { complete({std::move(results)...}); }
  void give_up() { complete(std::move(given_up_)); }

 private:
  using cancellation = boost::asio::cancellation_type;

  /// Stops the waiting: what was asked for has been recorded, and is done.
  static auto canceller(boost::asio::any_io_executor loop, std::weak_ptr<request> asked) {
    return [loop = std::move(loop), asked = std::move(asked)](cancellation type) {
      auto alive = asked.lock();
      if (!alive || (type & (cancellation::terminal | cancellation::partial)) == cancellation::none)
        return;
      boost::asio::dispatch(loop, [alive = std::move(alive)] { alive->give_up(); });
    };
  }

  void complete(std::tuple<Results...> results) {
    if (!handler_) return;
    auto call = [to = std::move(*handler_), results = std::move(results)]() mutable {
      std::apply(std::move(to), std::move(results));
    };
    handler_.reset();
    // An any_completion_executor can only dispatch, which may be a call from within this one.
    boost::asio::post(loop_, [executor = std::move(executor_), call = std::move(call)]() mutable {
      boost::asio::dispatch(executor, std::move(call));
    });
  }

  const boost::asio::any_io_executor loop_;
  std::optional<handler> handler_;
  boost::asio::any_completion_executor executor_;
  std::tuple<Results...> given_up_;
};

}  // namespace supervisor
