// The journal's way to the log of a master.
#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/system_error.hpp>
#include <csignal>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/log_sink.hpp"
#include "control/signal_digest.hpp"
#include "kernel/descriptors.hpp"
#include "start_failure.hpp"

namespace supervisor {

/// Where log lines go: stderr, or a file that is opened anew on USR1. What goes to stderr is held
/// back until the policy has come past its first step: who could not start has one thing to say.
class log_output {
 public:
  explicit log_output(std::string path) : path_(std::move(path)) {
    if (path_.empty()) held_.emplace();
    try {
      open();
    } catch (const boost::system::system_error& error) {
      throw start_failure(code_of(error), fmt::format("the log file {}; choose a path with "
                                                      "--log-file",
                                                      words_of(error)));
    }
  }
  bool write(std::string_view line) {
    if (held_) {
      held_->append(line);
      return true;
    }
    return silent_ || kernel::write_now(file_ ? file_.get() : STDERR_FILENO, line);
  }
  bool holds() const noexcept { return held_.has_value(); }
  /// Writes what was held back, and holds nothing any more.
  void release() {
    auto lines = std::exchange(held_, std::nullopt);
    if (lines && !lines->empty()) write(*lines);
  }
  /// Forgets what was held back, and what comes.
  void drop() {
    silent_ = held_.has_value();
    held_.reset();
  }
  /// A path that cannot be opened now leaves the log where it is.
  void reopen() {
    try {
      open();
    } catch (const boost::system::system_error& error) {
      write(fmt::format("cannot reopen the log: {}\n", words_of(error)));
    }
  }

 private:
  void open() {
    auto file = path_.empty() ? kernel::unique_fd() : kernel::open_output_file(path_);
    auto own = kernel::open_unblocked(file ? file.get() : STDERR_FILENO);
    file_ = std::move(own ? own : file);
  }

  std::string path_;
  kernel::unique_fd file_;
  std::optional<std::string> held_;
  bool silent_ = false;
};

/// Writes the log when what an event sets off has begun: a line costs about as much as ordering a
/// worker, and neither a replacement nor a signal's handler is to wait for that.
class log_writer {
 public:
  /// `logged` is called with the id of each event once it is written.
  log_writer(boost::asio::io_context& context, const log_options& options,
             std::function<void(std::uint64_t)> logged)
      : context_(context),
        logged_(std::move(logged)),
        storm_over_(context),
        output_(options.file),
        sink_(options, [this](std::string_view line) { return output_.write(line); }) {}
  ~log_writer() {
    logged_ = {};  // whoever is told may be gone
    flush_all();
  }

  void write(const event& e) {
    bool reopening = e.kind == event_kind::signal_received && e.number == SIGUSR1;
    bool posted = !waiting_.empty();
    if (reopening) {  // the new file's first line is the one about USR1
      flush_all();
      output_.reopen();
      waiting_.push_back(e);
    } else {
      digest_.add(e, waiting_);
      if (digest_.next() < due_) expire_at(digest_.next());
    }
    if (posted || waiting_.empty()) return;
    // Twice, because whatever the event sets off is itself posted, and that is behind us.
    boost::asio::post(context_, [this] { boost::asio::post(context_, [this] { flush(); }); });
  }
  void write_output(std::string_view pool, unsigned slot, bool is_stderr, std::string_view line) {
    flush();
    sink_.output_line(pool, slot, is_stderr, line);
  }
  void flush() noexcept {
    for (auto& e : waiting_) {
      sink_.write(e);
      last_ = std::max(last_, e.id);
      tell();
    }
    waiting_.clear();
  }
  void release() {
    flush_all();
    output_.release();
    tell();
  }
  void drop() { output_.drop(); }

 private:
  void tell() const {
    if (logged_ && !output_.holds()) logged_(last_);
  }
  void flush_all() noexcept {
    digest_.expire(never, waiting_);
    flush();
  }
  void expire_at(time_point when) {
    due_ = when;
    storm_over_.expires_at(when);
    storm_over_.async_wait([this](boost::system::error_code aborted) {
      if (aborted) return;
      due_ = never;
      flush();
      digest_.expire(std::chrono::steady_clock::now(), waiting_);
      flush();
      if (digest_.next() != never) expire_at(digest_.next());
    });
  }

  boost::asio::io_context& context_;
  std::function<void(std::uint64_t)> logged_;
  std::uint64_t last_ = 0;
  boost::asio::steady_timer storm_over_;
  time_point due_ = never;
  log_output output_;
  log_sink sink_;
  signal_digest digest_;
  std::vector<event> waiting_;
};

}  // namespace supervisor
