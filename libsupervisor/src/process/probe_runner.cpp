#include "process/probe_runner.hpp"

#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>
#include <csignal>

#include "kernel/descriptors.hpp"

namespace supervisor {

namespace {

/// A program that says by its exit code how the worker is.
class program_probe : public std::enable_shared_from_this<program_probe> {
 public:
  program_probe(process_services& services, probe_done done)
      : services_(services), done_(std::move(done)) {}

  void start(const spec& like, const kernel::credentials& who, const probe& what) {
    auto own = like;
    own.function.clear();
    own.program = what.target;
    own.arguments = what.arguments;
    auto null = kernel::open_null();
    auto pipe = kernel::make_output_pipe();
    command_surroundings around;
    around.who = who;
    around.in = null.get();
    around.out = around.err = pipe.theirs.get();
    around.descriptors = services_.descriptors;
    auto plan = plan_command(own, around);
    plan.end_with_thread = services_.options.end_with_thread;
    out_.emplace(
        services_.executor, std::move(pipe.ours),
        [this](std::string_view line, bool) { last_line_ = line; }, [] {});
    auto [process, failed] = launch(services_.executor, std::move(plan));
    failed_ = std::move(failed);
    auto died = [self = shared_from_this()](const exit_status& how) { self->on_died(how); };
    process_ = services_.children.hold(std::move(process), {died, [](auto&) {}});
  }

  void end() {
    done_ = nullptr;
    out_.reset();
    services_.children.signal(process_, SIGKILL);
  }

 private:
  void on_died(const exit_status& how) {
    if (out_ && !out_->ended()) out_->read();
    out_.reset();
    services_.children.bury(process_);
    if (!done_) return;
    auto words = failed_ ? failed_->str() : how.str();
    if (!failed_ && !last_line_.empty()) words += ": " + last_line_;
    std::exchange(done_, nullptr)({!failed_ && how.success(), std::move(words)});
  }

  process_services& services_;
  probe_done done_;
  reaper::key process_ = 0;
  std::optional<launch_error> failed_;
  std::optional<line_reader> out_;
  std::string last_line_;
};

}  // namespace

probe_end begin_probe(process_services& services, const std::shared_ptr<child>& of,
                      const probe& what, probe_done done) {
  if (what.how == probe::way::http || what.how == probe::way::tcp)
    return probe_by_connection(services.executor, what, std::move(done));
  if (what.how == probe::way::exec) {
    auto like = of && of->what() ? *of->what() : spec::command(what.target);
    try {
      return probe_by_program(services, like, find_credentials(like), what, done);
    } catch (const launch_failure& failure) {
      return probe_in_vain(services.executor, failure.error.str(), std::move(done));
    }
  }
  if (!of) return probe_in_vain(services.executor, "no worker", std::move(done));
  return probe_by_sign(of, what, std::move(done));
}

probe_end probe_by_program(process_services& services, const spec& like,
                           const kernel::credentials& who, const probe& what, probe_done done) {
  auto running = std::make_shared<program_probe>(services, done);
  try {
    running->start(like, who, what);
    return [running] { running->end(); };
  } catch (const launch_failure& failure) {
    return probe_in_vain(services.executor, failure.error.str(), std::move(done));
  } catch (const boost::system::system_error& e) {
    return probe_in_vain(services.executor, e.what(), std::move(done));
  }
}

probe_end probe_by_sign(const std::shared_ptr<child>& of, const probe& what, probe_done done) {
  bool line = what.how == probe::way::log_line;
  of->await_sign(what, [done = std::move(done), line] {
    done({true, line ? "the line was written" : "WATCHDOG=1"});
  });
  return [weak = std::weak_ptr(of), what] {
    if (auto alive = weak.lock()) alive->forget_sign(what);
  };
}

probe_end probe_in_vain(boost::asio::any_io_executor executor, std::string why, probe_done done) {
  auto tell = std::make_shared<probe_done>(std::move(done));
  boost::asio::post(executor, [tell, why = std::move(why)] {
    if (auto call = std::exchange(*tell, nullptr)) call({false, why});
  });
  return [tell] { *tell = nullptr; };
}

}  // namespace supervisor
