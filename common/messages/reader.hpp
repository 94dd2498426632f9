// Reads the fields of a JSON object one by one and collects every wrong one, so that an answer names them all at once.
#pragma once
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/decimal.hpp"
#include "common/base/error.hpp"
#include "common/base/ids.hpp"
#include "common/base/time.hpp"

namespace fleet::messages {

/// Both ends are allowed. Ends at the limits of `decimal` stand for "no bound".
struct number_range {
  base::decimal min;
  base::decimal max;
  bool operator==(const number_range&) const = default;
};

inline constexpr base::decimal no_upper_bound = base::decimal::from_int(9'000'000'000'000);
inline constexpr base::decimal no_lower_bound = base::decimal::from_int(-9'000'000'000'000);
inline constexpr number_range score_range{base::decimal::from_int(1), base::decimal::from_int(10)};
inline constexpr number_range unit_range{base::decimal::from_int(0), base::decimal::from_int(1)};
inline constexpr number_range non_negative{base::decimal::from_int(0), no_upper_bound};
inline constexpr number_range any_number{no_lower_bound, no_upper_bound};

struct integer_range {
  std::int64_t min = 0;
  std::int64_t max = std::numeric_limits<std::int64_t>::max();
};

/// Length in bytes of UTF-8; U+0000 is never allowed (PostgreSQL cannot keep it).
struct text_length {
  std::size_t min = 0;
  std::size_t max = 10'000;
};

/// The longest free text of a message (reasons, descriptions, rationales).
inline constexpr text_length free_text{0, 10'000};

/// One allowed text of a field and the value that it stands for.
template <class T>
using named_value = std::pair<std::string_view, T>;

/// Reads from an object that must outlive the reader. Copies and nested readers share one list of errors; not
/// thread-safe. A field that is wrong is recorded under its dotted path and gives a default value, so that reading goes
/// on; the caller asks `ok()` at the end. Optional fields may be absent or null.
class reader {
 public:
  /// `path` goes in front of the names in errors.
  explicit reader(const boost::json::object& source, std::string path = {});

  bool ok() const;
  /// An `invalid_input` error with every wrong field (the first 50). Precondition: `!ok()`.
  base::error error() const;
  /// Records that a field of this object is wrong. An empty name means the object itself.
  void fail(std::string_view name, std::string message);
  /// "expected <what>, got <value>", or "is missing; expected <what>" for a null pointer.
  void fail_expected(std::string_view name, std::string_view what, const boost::json::value* got);

  const boost::json::object& source() const { return *source_; }
  /// Null where the field is absent or null.
  const boost::json::value* find(std::string_view name) const;
  bool has(std::string_view name) const { return find(name) != nullptr; }
  /// A reader of a nested object, with the same list of errors.
  reader nested(std::string_view name, const boost::json::object& object) const;

  std::string text(std::string_view name, text_length length = {});
  std::optional<std::string> optional_text(std::string_view name, text_length length = {});

  /// A caller-chosen id as `base::is_valid_id` says.
  std::string id(std::string_view name);
  std::optional<std::string> optional_id(std::string_view name);
  base::proposal_id proposal_id(std::string_view name = "proposal_id") { return base::proposal_id(id(name)); }
  base::instance_id instance_id(std::string_view name = "instance_id") { return base::instance_id(id(name)); }

  base::decimal number(std::string_view name, number_range range);
  std::optional<base::decimal> optional_number(std::string_view name, number_range range);
  /// Whole numbers; 3.0 counts as 3.
  std::int64_t integer(std::string_view name, integer_range range = {});
  std::optional<std::int64_t> optional_integer(std::string_view name, integer_range range = {});
  bool boolean(std::string_view name);
  std::optional<bool> optional_boolean(std::string_view name);
  base::timestamp time(std::string_view name = "timestamp");
  std::optional<base::timestamp> optional_time(std::string_view name);

  /// One of the given texts.
  template <class T>
  T choice(std::string_view name, std::span<const named_value<T>> values);

  /// The nested object, to be read with `nested`; null (and an error) where it is not an object.
  const boost::json::object* object(std::string_view name);
  const boost::json::object* optional_object(std::string_view name);
  /// A copy of a free-form object. Error: no object, U+0000 in one of its texts or keys, or empty where that is not
  /// allowed.
  boost::json::object free_object(std::string_view name, bool may_be_empty = true);
  std::optional<boost::json::object> optional_free_object(std::string_view name);
  const boost::json::array* array(std::string_view name, std::size_t max_size);
  /// An array of ids.
  std::vector<std::string> ids(std::string_view name, std::size_t max_size);

 private:
  struct error_list {
    std::vector<base::field_error> fields;
    std::size_t left_out = 0;
  };

  reader(const boost::json::object& source, std::string path, std::shared_ptr<error_list> errors);
  std::optional<std::size_t> choice_index(std::string_view name, std::span<const std::string_view> texts);

  const boost::json::object* source_;
  std::string path_;
  std::shared_ptr<error_list> errors_;
};

/// Checks `type` and `schema_version` of a message. False: the version is not known here, and the other fields mean
/// nothing; both kinds of error are recorded.
bool read_header(reader& in, std::string_view type_name);

/// Exact for up to 15 significant digits. Error: no number, or out of the range of `decimal`.
base::result<base::decimal> to_decimal(const boost::json::value& value);
/// A JSON number: an integer where there is no fraction. Exact for up to 15 significant digits.
boost::json::value to_json(base::decimal value);
boost::json::value to_json(base::timestamp value);
/// Whether a text or key anywhere inside contains U+0000.
bool contains_nul(const boost::json::value& value);

/// The text of a value in a table of choices. Precondition: it is there.
template <class T>
constexpr std::string_view name_of(std::span<const named_value<T>> values, T value) {
  for (const auto& [name, known] : values)
    if (known == value) return name;
  return {};
}

template <class T>
T reader::choice(std::string_view name, std::span<const named_value<T>> values) {
  std::vector<std::string_view> texts;
  texts.reserve(values.size());
  for (const auto& value : values) texts.push_back(value.first);
  const auto index = choice_index(name, texts);
  return values[index.value_or(0)].second;
}

}  // namespace fleet::messages
