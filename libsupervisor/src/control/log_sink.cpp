#include "control/log_sink.hpp"

#include <boost/log/attributes/attribute_value_impl.hpp>
#include <boost/log/attributes/constant.hpp>
#include <boost/log/attributes/value_extraction.hpp>
#include <boost/log/core/core.hpp>
#include <boost/log/core/record.hpp>
#include <boost/log/sinks/basic_sink_backend.hpp>
#include <boost/log/sinks/sync_frontend.hpp>
#include <boost/log/sources/severity_feature.hpp>
#include <boost/log/sources/severity_logger.hpp>
#include <boost/log/utility/formatting_ostream.hpp>
#include <boost/make_shared.hpp>
#include <chrono>

#include "control/log_format.hpp"

namespace logging = boost::log;

namespace supervisor {

namespace {

constexpr const char* sink_attribute = "SupervisorSink";  ///< whose record it is
constexpr const char* entry_attribute = "SupervisorEntry";

/// Hands whole lines to the writer, and tells of those it did not take.
class line_backend
    : public logging::sinks::basic_formatted_sink_backend<char,
                                                          logging::sinks::synchronized_feeding> {
 public:
  line_backend(log_sink::writer write, bool json) : write_(std::move(write)), json_(json) {}

  std::string format(const log_entry& entry) const {
    return json_ ? format_json(entry) : format_text(entry);
  }

  void consume(const logging::record_view&, const string_type& line) {
    if (lost_ > 0) {
      log_entry notice;
      notice.level = severity::warning;
      notice.wall = std::chrono::system_clock::now();
      notice.lost = lost_;
      if (!write_(format(notice))) return lose();
      lost_ = 0;
    }
    if (!write_(line)) lose();
  }
  void lose() { ++lost_; }

 private:
  log_sink::writer write_;
  bool json_;
  std::uint64_t lost_ = 0;
};

using frontend = logging::sinks::synchronous_sink<line_backend>;

}  // namespace

struct log_sink::impl {
  void put(const log_entry& entry) noexcept;

  logging::sources::severity_logger<severity> logger;
  boost::shared_ptr<line_backend> backend;
  boost::shared_ptr<frontend> sink;
};

void log_sink::impl::put(const log_entry& entry) noexcept {
  try {
    // The level is for the master's events; whoever wants less of a worker says so in its spec.
    auto weight = entry.what ? entry.level : severity::error;
    auto record = logger.open_record(logging::keywords::severity = weight);
    if (!record) return;
    record.attribute_values().insert(entry_attribute,
                                     logging::attributes::make_attribute_value(&entry));
    logger.push_record(std::move(record));
  } catch (...) {
    backend->lose();  // out of memory, or the writer threw
  }
}

log_sink::log_sink(const log_options& options, writer write) : impl_(std::make_unique<impl>()) {
  auto* self = impl_.get();
  self->logger.add_attribute(sink_attribute, logging::attributes::constant<impl*>(self));
  self->backend = boost::make_shared<line_backend>(std::move(write), options.json);
  self->sink = boost::make_shared<frontend>(self->backend);
  // The core is the whole program's: records of others are none of ours.
  self->sink->set_filter([self, level = options.level](const logging::attribute_value_set& values) {
    auto owner = logging::extract<impl*>(sink_attribute, values);
    auto of = logging::extract<severity>("Severity", values);
    return owner && *owner == self && of && *of >= level;
  });
  self->sink->set_formatter([backend = self->backend.get()](const logging::record_view& record,
                                                            logging::formatting_ostream& out) {
    auto entry = logging::extract<const log_entry*>(entry_attribute, record);
    out << backend->format(**entry);
  });
  logging::core::get()->add_sink(self->sink);
}

log_sink::~log_sink() { logging::core::get()->remove_sink(impl_->sink); }

void log_sink::write(const event& e) noexcept {
  log_entry entry;
  entry.level = severity_of(e);
  entry.wall = e.wall;
  entry.what = &e;
  impl_->put(entry);
}

void log_sink::output_line(std::string_view pool, unsigned slot, bool is_stderr,
                           std::string_view line) noexcept {
  log_entry entry;
  entry.wall = std::chrono::system_clock::now();
  entry.pool = pool;
  entry.slot = slot;
  entry.is_stderr = is_stderr;
  entry.line = line;
  impl_->put(entry);
}

}  // namespace supervisor
