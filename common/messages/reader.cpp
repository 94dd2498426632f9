#include "common/messages/reader.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cmath>

#include "common/base/text.hpp"

namespace fleet::messages {
namespace {

namespace json = boost::json;

constexpr std::size_t max_errors = 50;

std::string quote(std::string_view text) {
  return json::serialize(json::string(base::abbreviate(text, 60)));
}

/// What was found instead, short enough for one line of a log.
std::string describe(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return value.get_bool() ? "true" : "false";
    case json::kind::string:
      return fmt::format("the text {}", quote(value.get_string()));
    case json::kind::array:
      return "an array";
    case json::kind::object:
      return "an object";
    default:
      break;
  }
  if (const auto number = to_decimal(value)) return number->str();
  return "a number too large to be taken";
}

/// A name of the sender's choice inside an error: short, and without line breaks.
std::string safe_name(std::string_view name) {
  auto text = base::abbreviate(name, 100);
  if (base::has_control_characters(text)) return quote(text);
  return text;
}

std::string describe(number_range range) {
  if (range == any_number) return "a number";
  if (range.max >= no_upper_bound) return fmt::format("a number of at least {}", range.min.str());
  return fmt::format("a number from {} to {}", range.min.str(), range.max.str());
}

std::string describe(integer_range range) {
  if (range.max == std::numeric_limits<std::int64_t>::max())
    return fmt::format("a whole number of at least {}", range.min);
  return fmt::format("a whole number from {} to {}", range.min, range.max);
}

constexpr std::string_view expected_id = "a text of 1 to 200 bytes without control characters";
constexpr std::string_view expected_time = "an RFC 3339 time such as 2026-01-31T12:00:00.000Z";

std::optional<std::int64_t> whole_number(const json::value& value) {
  if (value.is_int64()) return value.get_int64();
  if (value.is_uint64()) {
    if (value.get_uint64() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return std::nullopt;
    return static_cast<std::int64_t>(value.get_uint64());
  }
  constexpr double exact = 9007199254740992.0;  // 2^53: above it not every whole number is a double
  if (value.is_double() && std::abs(value.get_double()) <= exact &&
      std::trunc(value.get_double()) == value.get_double())
    return static_cast<std::int64_t>(value.get_double());
  return std::nullopt;
}

bool contains_nul_text(std::string_view text) {
  return text.find('\0') != std::string_view::npos;
}

}  // namespace

base::result<base::decimal> to_decimal(const json::value& value) {
  if (value.is_int64()) return base::decimal::parse(fmt::format("{}", value.get_int64()));
  if (value.is_uint64()) return base::decimal::parse(fmt::format("{}", value.get_uint64()));
  if (value.is_double()) return base::decimal::from_double(value.get_double());
  return base::make_error(base::error_kind::invalid_input, "expected a number");
}

json::value to_json(base::decimal value) {
  if (value.millionths() % base::decimal::scale == 0) return json::value(value.millionths() / base::decimal::scale);
  return json::value(value.to_double());
}

json::value to_json(base::timestamp value) {
  return json::value(base::format_rfc3339(value));
}

// Recursive: the depth of what comes from outside is bounded by the JSON parser's limit.
bool contains_nul(const json::value& value) {
  if (value.is_string()) return contains_nul_text(value.get_string());
  if (value.is_array())
    return std::any_of(value.get_array().begin(), value.get_array().end(),
                       [](const auto& v) { return contains_nul(v); });
  if (value.is_object())
    return std::any_of(value.get_object().begin(), value.get_object().end(), [](const auto& member) {
      return contains_nul_text(member.key()) || contains_nul(member.value());
    });
  return false;
}

bool read_header(reader& in, std::string_view type_name) {
  const auto* type = in.find("type");
  if (type == nullptr || !type->is_string() || std::string_view(type->get_string()) != type_name)
    in.fail_expected("type", fmt::format("\"{}\"", type_name), type);
  const auto* version = in.find("schema_version");
  if (version == nullptr) return true;
  const auto number = whole_number(*version);
  if (!number || *number < 1) {
    in.fail_expected("schema_version", "the whole number 1", version);
  } else if (*number > 1) {
    in.fail("schema_version", fmt::format("version {} is not known here: only version 1 is understood", *number));
    return false;
  }
  return true;
}

reader::reader(const json::object& source, std::string path)
    : reader(source, std::move(path), std::make_shared<error_list>()) {}

reader::reader(const json::object& source, std::string path, std::shared_ptr<error_list> errors)
    : source_(&source), path_(std::move(path)), errors_(std::move(errors)) {}

bool reader::ok() const {
  return errors_->fields.empty();
}

base::error reader::error() const {
  auto fields = errors_->fields;
  if (errors_->left_out > 0) fields.push_back({"", fmt::format("and {} more errors", errors_->left_out)});
  return base::invalid_fields(std::move(fields));
}

void reader::fail(std::string_view name, std::string message) {
  if (errors_->fields.size() >= max_errors) {
    ++errors_->left_out;
    return;
  }
  auto path = path_;
  if (!path.empty() && !name.empty()) path += '.';
  errors_->fields.push_back({path + safe_name(name), std::move(message)});
}

void reader::fail_expected(std::string_view name, std::string_view what, const json::value* got) {
  fail(name, got == nullptr ? fmt::format("is missing; expected {}", what)
                            : fmt::format("expected {}, got {}", what, describe(*got)));
}

const json::value* reader::find(std::string_view name) const {
  const auto* value = source_->if_contains(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

reader reader::nested(std::string_view name, const json::object& object) const {
  auto path = path_;
  if (!path.empty() && !name.empty()) path += '.';
  return {object, path + safe_name(name), errors_};
}

std::string reader::text(std::string_view name, text_length length) {
  const auto* value = find(name);
  if (value == nullptr || !value->is_string()) {
    fail_expected(name, "a text", value);
    return {};
  }
  const std::string_view found = value->get_string();
  if (found.size() < length.min || found.size() > length.max)
    fail(name, fmt::format("expected a text of {} to {} bytes, got {} bytes", length.min, length.max, found.size()));
  else if (contains_nul_text(found))
    fail(name, "expected a text without the character U+0000");
  else
    return std::string(found);
  return {};
}

std::optional<std::string> reader::optional_text(std::string_view name, text_length length) {
  if (!has(name)) return std::nullopt;
  return text(name, length);
}

std::string reader::id(std::string_view name) {
  const auto* value = find(name);
  if (value != nullptr && value->is_string() && base::is_valid_id(value->get_string()))
    return std::string(value->get_string());
  if (value != nullptr && value->is_string() && value->get_string().size() > 200)
    fail(name, fmt::format("expected {}, got {} bytes", expected_id, value->get_string().size()));
  else
    fail_expected(name, expected_id, value);
  return {};
}

std::optional<std::string> reader::optional_id(std::string_view name) {
  if (!has(name)) return std::nullopt;
  return id(name);
}

base::decimal reader::number(std::string_view name, number_range range) {
  const auto* value = find(name);
  if (value != nullptr) {
    const auto number = to_decimal(*value);
    if (number && *number >= range.min && *number <= range.max) return *number;
  }
  fail_expected(name, describe(range), value);
  return range.min;
}

std::optional<base::decimal> reader::optional_number(std::string_view name, number_range range) {
  if (!has(name)) return std::nullopt;
  return number(name, range);
}

std::int64_t reader::integer(std::string_view name, integer_range range) {
  const auto* value = find(name);
  if (value != nullptr) {
    const auto number = whole_number(*value);
    if (number && *number >= range.min && *number <= range.max) return *number;
  }
  fail_expected(name, describe(range), value);
  return range.min;
}

std::optional<std::int64_t> reader::optional_integer(std::string_view name, integer_range range) {
  if (!has(name)) return std::nullopt;
  return integer(name, range);
}

bool reader::boolean(std::string_view name) {
  const auto* value = find(name);
  if (value != nullptr && value->is_bool()) return value->get_bool();
  fail_expected(name, "true or false", value);
  return false;
}

std::optional<bool> reader::optional_boolean(std::string_view name) {
  if (!has(name)) return std::nullopt;
  return boolean(name);
}

base::timestamp reader::time(std::string_view name) {
  const auto* value = find(name);
  if (value != nullptr && value->is_string()) {
    if (const auto time = base::parse_rfc3339(value->get_string())) return *time;
  }
  fail_expected(name, expected_time, value);
  return {};
}

std::optional<base::timestamp> reader::optional_time(std::string_view name) {
  if (!has(name)) return std::nullopt;
  return time(name);
}

std::optional<std::size_t> reader::choice_index(std::string_view name, std::span<const std::string_view> texts) {
  const auto* value = find(name);
  if (value != nullptr && value->is_string()) {
    const auto found = std::find(texts.begin(), texts.end(), std::string_view(value->get_string()));
    if (found != texts.end()) return static_cast<std::size_t>(found - texts.begin());
  }
  fail_expected(name, fmt::format("one of \"{}\"", fmt::join(texts, "\", \"")), value);
  return std::nullopt;
}

const json::object* reader::object(std::string_view name) {
  const auto* value = find(name);
  if (value != nullptr && value->is_object()) return &value->get_object();
  fail_expected(name, "an object", value);
  return nullptr;
}

const json::object* reader::optional_object(std::string_view name) {
  return has(name) ? object(name) : nullptr;
}

json::object reader::free_object(std::string_view name, bool may_be_empty) {
  const auto* found = object(name);
  if (found == nullptr) return {};
  if (found->empty() && !may_be_empty)
    fail(name, "expected an object with at least one field, got an empty one");
  else if (contains_nul(source_->at(name)))
    fail(name, "expected texts without the character U+0000");
  else
    return *found;
  return {};
}

std::optional<json::object> reader::optional_free_object(std::string_view name) {
  if (!has(name)) return std::nullopt;
  return free_object(name);
}

const json::array* reader::array(std::string_view name, std::size_t max_size) {
  const auto* value = find(name);
  if (value == nullptr || !value->is_array()) {
    fail_expected(name, "an array", value);
    return nullptr;
  }
  const auto& found = value->get_array();
  if (found.size() <= max_size) return &found;
  fail(name, fmt::format("expected at most {} entries, got {}", max_size, found.size()));
  return nullptr;
}

std::vector<std::string> reader::ids(std::string_view name, std::size_t max_size) {
  std::vector<std::string> texts;
  const auto* found = array(name, max_size);
  if (found == nullptr) return texts;
  texts.reserve(found->size());
  for (std::size_t i = 0; i < found->size(); ++i) {
    const auto& entry = (*found)[i];
    if (entry.is_string() && base::is_valid_id(entry.get_string()))
      texts.emplace_back(entry.get_string());
    else
      fail_expected(fmt::format("{}[{}]", name, i), expected_id, &entry);
  }
  return texts;
}

}  // namespace fleet::messages
