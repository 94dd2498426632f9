// Effective values: what a schema's settings hold after every source was read, and where each came from.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/schema.hpp"

namespace fleet::config {

/// From weakest to strongest.
enum class origin_kind { fallback, general_environment, file, credential, environment, flag };

struct origin {
  origin_kind kind = origin_kind::fallback;
  std::string where;  ///< "agent.ini:12", "credential database_url", "PGFLOW_DATABASE_URL", "--log.level"; "default"
};

struct value {
  std::string text;
  origin from;
};

/// An exact ratio, as "2/3" is no decimal.
struct ratio {
  std::int64_t numerator = 0;
  std::int64_t denominator = 1;
  bool operator==(const ratio&) const = default;
};

/// Immutable after loading; copies are cheap. Getters never fail on a loaded schema's keys: values were checked when
/// they were loaded. A key that the schema does not know, of another type, or (but for texts and lists) without a value
/// is a programmer's error (`std::logic_error`).
class values {
 public:
  values(std::shared_ptr<const schema> of, std::map<std::string, value, std::less<>> all);

  bool is_set(std::string_view key) const { return !get(key).text.empty(); }
  const std::string& get_string(std::string_view key) const { return get(key).text; }
  std::int64_t get_int(std::string_view key) const;
  base::decimal get_decimal(std::string_view key) const;
  bool get_bool(std::string_view key) const;
  std::chrono::milliseconds get_ms(std::string_view key) const;
  ratio get_ratio(std::string_view key) const;
  /// Trimmed, without empty entries.
  std::vector<std::string> get_list(std::string_view key) const;
  const value& get(std::string_view key) const;
  /// The names present of a ".*" family: for "guardian.rule.*" each last part, in alphabetical order.
  std::vector<std::string> names_of(std::string_view family_key) const;

  const schema& of() const { return *schema_; }
  const std::map<std::string, value, std::less<>>& all() const { return *all_; }

 private:
  std::shared_ptr<const schema> schema_;
  std::shared_ptr<const std::map<std::string, value, std::less<>>> all_;
};

struct change {
  std::string key;
  std::string before;  ///< secrets masked
  std::string after;
  bool reloadable = false;
};

/// What differs between two loads of one schema, in the schema's order.
std::vector<change> diff(const values& before, const values& after);
/// `before` with the reloadable differences of `after` taken over: what is in force after a reload.
values apply_reloadable(const values& before, const values& after);

/// A value as it may be shown: secrets as "***", passwords inside masked.
std::string shown(const setting& what, std::string_view text);
/// `check-config`: one line "key = value   # origin" a setting.
std::string print_effective(const values& all);
/// The same as a JSON array of {key, value, origin, unit, reloadable}.
std::string print_effective_json(const values& all);
/// A documented INI file with every setting at its default. `title` becomes the comment at the top.
std::string example_ini(const schema& of, std::string_view title);
/// The same as a page: a Markdown table a section, below a heading `title`.
std::string reference_page(const schema& of, std::string_view title);

}  // namespace fleet::config
