#include "common/telemetry/log.hpp"

#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <cstdlib>
#include <mutex>

#include "common/base/text.hpp"
#include "common/base/time.hpp"

namespace fleet::telemetry {
namespace {

constexpr std::size_t max_value_bytes = 4096;
constexpr std::size_t max_line_bytes = 16U * 1024;

/// Hands each line to a function.
class function_sink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit function_sink(logger::sink write) : write_(std::move(write)) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& line) override {
    write_(std::string_view(line.payload.data(), line.payload.size()));
  }
  void flush_() override {}

 private:
  logger::sink write_;
};

spdlog::level::level_enum to_spdlog(log_level level) {
  switch (level) {
    case log_level::debug:
      return spdlog::level::debug;
    case log_level::info:
      return spdlog::level::info;
    case log_level::warning:
      return spdlog::level::warn;
    case log_level::error:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

/// Valid UTF-8 with malformed bytes as U+FFFD: a line must be readable whatever a peer sent.
std::string to_utf8(std::string_view text) {
  if (base::is_valid_utf8(text)) return std::string(text);
  std::string clean;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t length = 1;
    while (length <= 4 && !base::is_valid_utf8(text.substr(at, length))) ++length;
    if (length <= 4) {
      clean += text.substr(at, length);
      at += length;
    } else {
      clean += "\xEF\xBF\xBD";
      ++at;
    }
  }
  return clean;
}

std::string to_safe(std::string_view text) {
  auto clean = to_utf8(text.size() > max_value_bytes ? base::abbreviate(text, max_value_bytes) : text);
  // The regular expressions behind mask_secrets cost microseconds: only where there may be something to mask.
  const bool suspicious = clean.find("://") != std::string::npos || clean.find('=') != std::string::npos;
  return suspicious ? base::mask_secrets(clean) : clean;
}

bool is_left_out(const field& one) {
  return std::holds_alternative<std::monostate>(one.value);
}

std::string number_text(double number) {
  return fmt::format("{}", number);
}

boost::json::value to_json(const field::value_type& value) {
  if (const auto* truth = std::get_if<bool>(&value)) return *truth;
  if (const auto* number = std::get_if<std::int64_t>(&value)) return *number;
  if (const auto* number = std::get_if<std::uint64_t>(&value)) return *number;
  // JSON has no NaN or infinity.
  if (const auto* number = std::get_if<double>(&value))
    return std::isfinite(*number) ? boost::json::value(*number) : boost::json::value(number_text(*number));
  return boost::json::string(to_safe(std::get<std::string>(value)));
}

/// Bare where it is one plain word, otherwise quoted with escapes, so that a value can look like nothing else.
std::string quoted(std::string_view text) {
  const bool plain =
      !text.empty() && text.find_first_of(" =\"\\") == std::string_view::npos && !base::has_control_characters(text);
  return plain ? std::string(text) : boost::json::serialize(boost::json::value(boost::json::string(text)));
}

std::string escaped_controls(std::string_view text) {
  if (!base::has_control_characters(text)) return std::string(text);
  std::string clean;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      clean += fmt::format("\\x{:02x}", byte);
    } else {
      clean += c;
    }
  }
  return clean;
}

std::string to_text(const field::value_type& value) {
  if (const auto* truth = std::get_if<bool>(&value)) return *truth ? "true" : "false";
  if (const auto* number = std::get_if<std::int64_t>(&value)) return fmt::format("{}", *number);
  if (const auto* number = std::get_if<std::uint64_t>(&value)) return fmt::format("{}", *number);
  if (const auto* number = std::get_if<double>(&value)) return number_text(*number);
  return quoted(to_safe(std::get<std::string>(value)));
}

/// JSON leaves U+007F and U+0080-U+009F as they are, and terminals take some of them for commands.
std::string with_escaped_high_controls(std::string line) {
  if (!base::has_control_characters(line)) return line;
  std::string clean;
  for (std::size_t at = 0; at < line.size(); ++at) {
    const auto byte = static_cast<unsigned char>(line[at]);
    const auto next = at + 1 < line.size() ? static_cast<unsigned char>(line[at + 1]) : 0U;
    if (byte == 0x7F) {
      clean += "\\u007f";
    } else if (byte == 0xC2 && next < 0xA0) {
      clean += fmt::format("\\u{:04x}", next);
      ++at;
    } else {
      clean += line[at];
    }
  }
  return clean;
}

base::timestamp now() {
  return base::system_clock().now();
}

struct record {
  log_level level;
  std::string_view event;
  std::string_view message;
  fields with;
};

std::string json_line(const record& what) {
  boost::json::object line;
  line["time"] = base::format_rfc3339(now());
  line["level"] = to_string(what.level);
  line["event"] = to_safe(what.event);
  line["message"] = to_safe(what.message);
  std::size_t size = 256 + what.message.size();
  for (const auto& one : what.with) {
    if (is_left_out(one)) continue;
    auto value = to_json(one.value);
    size += one.key.size() + 16 + (value.is_string() ? value.get_string().size() : 0);
    if (size > max_line_bytes) {
      line["cut"] = true;
      break;
    }
    line.emplace(to_utf8(one.key), std::move(value));
  }
  return with_escaped_high_controls(boost::json::serialize(line));
}

std::string text_line(const record& what, bool with_time) {
  auto line = with_time ? base::format_rfc3339(now()) + " " : std::string();
  line += fmt::format("{:<7} {}: {}", to_string(what.level), escaped_controls(to_safe(what.event)),
                      escaped_controls(to_safe(what.message)));
  for (const auto& one : what.with) {
    if (is_left_out(one)) continue;
    line += fmt::format(" {}={}", escaped_controls(to_utf8(one.key)), to_text(one.value));
    if (line.size() > max_line_bytes) {
      line = base::abbreviate(line, max_line_bytes);
      break;
    }
  }
  return with_escaped_high_controls(std::move(line));
}

/// systemd names the stream that it made; one that was redirected since is another.
bool stderr_is_the_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");  // NOLINT(concurrency-mt-unsafe)
  struct stat info {};
  return stream != nullptr && ::fstat(STDERR_FILENO, &info) == 0 &&
         stream == fmt::format("{}:{}", info.st_dev, info.st_ino);
}

/// Of syslog, as `journalctl -p` knows them.
std::string_view priority_of(log_level level) {
  switch (level) {
    case log_level::debug:
      return "<7>";
    case log_level::info:
      return "<6>";
    case log_level::warning:
      return "<4>";
    case log_level::error:
      return "<3>";
  }
  return "<6>";
}

}  // namespace

std::string_view to_string(log_level level) {
  switch (level) {
    case log_level::debug:
      return "debug";
    case log_level::info:
      return "info";
    case log_level::warning:
      return "warning";
    case log_level::error:
      return "error";
  }
  return "info";
}

base::result<log_level> parse_log_level(std::string_view text) {
  for (const auto level : {log_level::debug, log_level::info, log_level::warning, log_level::error})
    if (to_string(level) == text) return level;
  return base::make_error(base::error_kind::invalid_input, "expected one of debug, info, warning, error");
}

struct logger::state {
  state(const spdlog::sink_ptr& to, log_options chosen)
      : out("fleet", to),
        level(chosen.level),
        format(chosen.format),
        with_time(chosen.with_time),
        with_priority(chosen.with_priority) {
    out.set_level(spdlog::level::trace);
    out.flush_on(spdlog::level::warn);
  }

  spdlog::logger out;
  std::atomic<log_level> level;
  log_format format;
  bool with_time;
  bool with_priority;
};

logger logger::to_stderr(log_options options) {
  if (stderr_is_the_journal()) {
    options.with_time = false;
    options.with_priority = true;
  }
  auto shared = std::make_shared<state>(std::make_shared<spdlog::sinks::stderr_sink_mt>(), options);
  shared->out.set_pattern("%v");
  return logger(std::move(shared));
}

logger logger::to_sink(sink write, log_options options) {
  return logger(std::make_shared<state>(std::make_shared<function_sink>(std::move(write)), options));
}

logger logger::none() {
  return logger(nullptr);
}

void logger::write(log_level level, std::string_view event, std::string_view message, fields with) const {
  if (state_ == nullptr || level < state_->level.load(std::memory_order_relaxed)) return;
  const record what{level, event, message, with};
  std::string line(state_->with_priority ? priority_of(level) : std::string_view());
  line += state_->format == log_format::json ? json_line(what) : text_line(what, state_->with_time);
  state_->out.log(to_spdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

void logger::set_level(log_level level) const {
  if (state_ != nullptr) state_->level.store(level, std::memory_order_relaxed);
}

log_level logger::level() const {
  return state_ == nullptr ? log_level::error : state_->level.load(std::memory_order_relaxed);
}

}  // namespace fleet::telemetry
