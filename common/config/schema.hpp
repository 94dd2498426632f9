// The schema of settings: the one place that says which keys exist, what they hold and what they mean.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/decimal.hpp"

namespace fleet::config {

enum class value_type {
  string,
  integer,
  decimal,
  boolean,      ///< true|false|yes|no|on|off|1|0
  duration_ms,  ///< whole milliseconds
  ratio,        ///< "2/3" or a decimal
  list,         ///< separated by commas
  secret,       ///< never shown
  url           ///< shown with its password masked
};

std::string_view to_string(value_type type);

/// One setting. `key` is "section.name"; it is also the flag `--section.name` and, in the file, `name` below
/// `[section]` (everything before the last dot is the section).
struct setting {
  std::string key;  ///< may end in ".*" for a family whose last part is any name of [a-z0-9_-]
  value_type type = value_type::string;
  std::string fallback;                   ///< the default, as text; empty: not set
  std::string sentence;                   ///< what it does, for people
  std::string unit = {};                  ///< "ms", "messages"; empty where the type says it
  std::optional<base::decimal> min = {};  ///< of a number, both ends allowed
  std::optional<base::decimal> max = {};
  std::vector<std::string> choices = {};  ///< the only values allowed; empty: any
  std::string environment = {};           ///< stronger than the file
  /// Name of the service manager's credential ($CREDENTIALS_DIRECTORY): a url's or secret's first line, a string's
  /// path; stronger than the file.
  std::string credential = {};
  std::string general_environment = {};  ///< weaker than the file: stands in for the default of a whole group
  bool reloadable = false;               ///< takes effect on SIGHUP
  bool required = false;                 ///< an empty value is an error
};

/// Settings in the order in which they were added. Adding a key twice, or one without a section, is a programmer's
/// error (`std::logic_error`).
class schema {
 public:
  schema& add(setting what);
  /// Adds `pattern` once a name, in place of its only "<name>": "queue.<name>.workers".
  schema& add_family(const setting& pattern, const std::vector<std::string>& names);

  /// The setting that this key belongs to (an exact one, or a ".*" family), or null.
  const setting* find(std::string_view key) const;
  const std::vector<setting>& settings() const { return settings_; }
  /// The known key nearest to a mistyped one, or empty where none is near.
  std::string suggest(std::string_view key) const;

 private:
  std::vector<setting> settings_;
};

/// Empty where `text` is a good value of the setting; otherwise what was expected ("expected an integer from 1 to 64").
std::string check_value(const setting& what, std::string_view text);

/// The candidate with the smallest edit distance to `word`, if that is at most a third of its length; otherwise empty.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace fleet::config
