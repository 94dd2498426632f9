// The structured log: one line an event, as text for people or as JSON for machines.
#pragma once
#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "common/base/decimal.hpp"
#include "common/base/error.hpp"
#include "common/base/ids.hpp"

namespace fleet::telemetry {

enum class log_level { debug, info, warning, error };
std::string_view to_string(log_level level);
base::result<log_level> parse_log_level(std::string_view text);

enum class log_format { text, json };

/// A key and its value. Keys are snake_case literals; values are escaped, so any bytes may come. A field whose value is
/// an empty optional is left out.
struct field {
  using value_type = std::variant<bool, std::int64_t, std::uint64_t, double, std::string, std::monostate>;

  template <class T>
  field(std::string_view name, const T& content) : key(name), value(convert(content)) {}

  std::string_view key;
  value_type value;

 private:
  static value_type convert(bool content) { return content; }
  template <std::signed_integral T>
  static value_type convert(T content) {
    return static_cast<std::int64_t>(content);
  }
  template <std::unsigned_integral T>
  requires(!std::same_as<T, bool>) static value_type convert(T content) { return static_cast<std::uint64_t>(content); }
  template <std::floating_point T>
  static value_type convert(T content) {
    return static_cast<double>(content);
  }
  static value_type convert(std::string_view content) { return std::string(content); }
  static value_type convert(const std::string& content) { return content; }
  static value_type convert(const char* content) { return std::string(content); }
  static value_type convert(const base::decimal& content) { return content.str(); }
  static value_type convert(base::message_id content) { return base::to_int(content); }
  static value_type convert(const base::error& content) { return content.message; }
  template <class Tag>
  static value_type convert(const base::string_id<Tag>& content) {
    return content.str();
  }
  template <class T>
  static value_type convert(const std::optional<T>& content) {
    if (!content) return std::monostate();
    return convert(*content);
  }
};

using fields = std::initializer_list<field>;

struct log_options {
  log_level level = log_level::info;
  log_format format = log_format::text;
  bool with_time = true;       ///< of the text format; JSON always has it
  bool with_priority = false;  ///< each line begins with "<4>" and the like, which the journal takes for its priority
};

/// A cheap handle: copies share one sink and one level. Safe from several threads. A line is at most 16 KiB (values are
/// cut), never holds a newline, and has passwords of connection URLs masked.
class logger {
 public:
  using sink = std::function<void(std::string_view line)>;

  /// To stderr. Where that is the journal (JOURNAL_STREAM), lines carry their priority, and the text format leaves out
  /// the time: the journal has its own.
  static logger to_stderr(log_options options = {});
  /// To a function, one call a line without the newline (tests).
  static logger to_sink(sink write, log_options options = {});
  /// Writes nothing.
  static logger none();

  void debug(std::string_view event, std::string_view message, fields with = {}) const {
    write(log_level::debug, event, message, with);
  }
  void info(std::string_view event, std::string_view message, fields with = {}) const {
    write(log_level::info, event, message, with);
  }
  void warning(std::string_view event, std::string_view message, fields with = {}) const {
    write(log_level::warning, event, message, with);
  }
  void error(std::string_view event, std::string_view message, fields with = {}) const {
    write(log_level::error, event, message, with);
  }
  void write(log_level level, std::string_view event, std::string_view message, fields with = {}) const;

  void set_level(log_level level) const;
  log_level level() const;

 private:
  struct state;
  explicit logger(std::shared_ptr<state> shared) : state_(std::move(shared)) {}
  std::shared_ptr<state> state_;
};

}  // namespace fleet::telemetry
