#include "common/config/schema.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "common/base/text.hpp"
#include "common/config/parse.hpp"

namespace fleet::config {
namespace {

bool is_family(const setting& what) {
  return what.key.ends_with(".*");
}

bool is_family_name(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

bool is_text(value_type type) {
  return type == value_type::string || type == value_type::list || type == value_type::secret ||
         type == value_type::url;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const auto replaced = diagonal + (a[i] == b[j] ? 0U : 1U);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

std::string bounds_text(const setting& what) {
  if (what.min && what.max) return fmt::format(" from {} to {}", what.min->str(), what.max->str());
  if (what.min) return fmt::format(" of at least {}", what.min->str());
  if (what.max) return fmt::format(" of at most {}", what.max->str());
  return {};
}

bool in_bounds(const setting& what, base::decimal number) {
  return !(what.min && number < *what.min) && !(what.max && number > *what.max);
}

std::string check_integer(const setting& what, std::string_view text, std::string_view noun) {
  constexpr std::int64_t decimal_limit = std::numeric_limits<std::int64_t>::max() / base::decimal::scale;
  const auto number = parse_integer(text);
  if (number && *number <= decimal_limit && *number >= -decimal_limit &&
      in_bounds(what, base::decimal::from_int(*number)))
    return {};
  return fmt::format("expected {}{}", noun, bounds_text(what));
}

std::string check_decimal(const setting& what, std::string_view text) {
  const auto number = base::decimal::parse(text);
  if (number && in_bounds(what, *number)) return {};
  return fmt::format("expected a number{}", bounds_text(what));
}

std::string check_ratio(const setting& what, std::string_view text) {
  const auto parsed = parse_ratio(text);
  if (parsed) {
    // Both products fit: parse_ratio bounds its numbers by 1e9, and no schema has bounds of more than a thousand.
    const auto number = parsed->numerator * base::decimal::scale;
    const bool below = what.min && number < what.min->millionths() * parsed->denominator;
    const bool above = what.max && number > what.max->millionths() * parsed->denominator;
    if (!below && !above) return {};
  }
  return fmt::format("expected a ratio as 2/3 or 0.75{}", bounds_text(what));
}

}  // namespace

std::string_view to_string(value_type type) {
  switch (type) {
    case value_type::string:
      return "text";
    case value_type::integer:
      return "integer";
    case value_type::decimal:
      return "number";
    case value_type::boolean:
      return "true or false";
    case value_type::duration_ms:
      return "milliseconds";
    case value_type::ratio:
      return "ratio";
    case value_type::list:
      return "list, separated by commas";
    case value_type::secret:
      return "secret";
    case value_type::url:
      return "URL";
  }
  return "text";
}

schema& schema::add(setting what) {
  const auto dot = what.key.find('.');
  if (dot == std::string::npos || dot == 0 || dot + 1 == what.key.size())
    throw std::logic_error("a setting needs section.name: " + what.key);
  for (const auto& known : settings_)
    if (known.key == what.key) throw std::logic_error("a setting is there twice: " + what.key);
  if (!what.fallback.empty())
    if (const auto wrong = check_value(what, what.fallback); !wrong.empty())
      throw std::logic_error(fmt::format("default of {}: {}", what.key, wrong));
  settings_.push_back(std::move(what));
  return *this;
}

schema& schema::add_family(const setting& pattern, const std::vector<std::string>& names) {
  constexpr std::string_view place = "<name>";
  const auto at = pattern.key.find(place);
  if (at == std::string::npos) throw std::logic_error("a family needs <name>: " + pattern.key);
  for (const auto& name : names) {
    auto one = pattern;
    one.key.replace(at, place.size(), name);
    add(std::move(one));
  }
  return *this;
}

const setting* schema::find(std::string_view key) const {
  for (const auto& what : settings_)
    if (what.key == key && !is_family(what)) return &what;
  for (const auto& what : settings_) {
    const auto prefix = std::string_view(what.key).substr(0, what.key.size() - 1);
    if (is_family(what) && key.starts_with(prefix) && is_family_name(key.substr(prefix.size()))) return &what;
  }
  return nullptr;
}

std::string schema::suggest(std::string_view key) const {
  std::vector<std::string> keys;
  keys.reserve(settings_.size());
  for (const auto& what : settings_) keys.push_back(what.key);
  return nearest(key, keys);
}

std::string check_value(const setting& what, std::string_view text) {
  if (text.empty() && what.required) return "a value is required";
  // Nothing is a value of a text, and of what has no default either; a number that has one cannot be taken away.
  if (text.empty() && (is_text(what.type) || what.fallback.empty())) return {};
  if (!base::is_valid_utf8(text) || base::has_control_characters(text))
    return "expected UTF-8 text without control characters";
  if (!what.choices.empty() && std::find(what.choices.begin(), what.choices.end(), text) == what.choices.end())
    return fmt::format("expected one of {}", fmt::join(what.choices, ", "));
  switch (what.type) {
    case value_type::integer:
      return check_integer(what, text, "an integer");
    case value_type::duration_ms:
      return check_integer(what, text, "whole milliseconds");
    case value_type::decimal:
      return check_decimal(what, text);
    case value_type::ratio:
      return check_ratio(what, text);
    case value_type::boolean:
      return parse_boolean(text) ? "" : "expected true or false";
    case value_type::string:
    case value_type::list:
    case value_type::secret:
    case value_type::url:
      return {};
  }
  return {};
}

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  auto best_distance = std::max<std::size_t>(word.size() / 3, 1) + 1;
  if (word.size() > 200) return best;
  for (const auto& candidate : candidates) {
    const auto distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace fleet::config
