#include "common/base/json.hpp"

#include <fmt/format.h>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <iterator>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "common/base/text.hpp"

namespace fleet::base {
namespace {

namespace json = boost::json;

/// Sees every key of the document once, in nesting order, and stops at the first that repeats in its object: Boost.JSON
/// itself keeps the last of two and says nothing.
struct duplicate_finder {
  static constexpr std::size_t max_object_size = std::size_t(-1);
  static constexpr std::size_t max_array_size = std::size_t(-1);
  static constexpr std::size_t max_key_size = std::size_t(-1);
  static constexpr std::size_t max_string_size = std::size_t(-1);

  std::vector<std::set<std::string>> objects;
  std::string key;
  bool duplicate = false;  ///< of `key`

  bool on_document_begin(json::error_code&) { return true; }
  bool on_document_end(json::error_code&) { return true; }
  bool on_object_begin(json::error_code&) {
    objects.emplace_back();
    return true;
  }
  bool on_object_end(std::size_t, json::error_code&) {
    objects.pop_back();
    return true;
  }
  bool on_array_begin(json::error_code&) { return true; }
  bool on_array_end(std::size_t, json::error_code&) { return true; }
  bool on_key_part(json::string_view part, std::size_t, json::error_code&) {
    key += part;
    return true;
  }
  bool on_key(json::string_view part, std::size_t, json::error_code& ec) {
    key += part;
    if (!objects.back().insert(key).second) {
      duplicate = true;
      ec = json::make_error_code(json::error::syntax);
      return false;
    }
    key.clear();
    return true;
  }
  bool on_string_part(json::string_view, std::size_t, json::error_code&) { return true; }
  bool on_string(json::string_view, std::size_t, json::error_code&) { return true; }
  bool on_number_part(json::string_view, json::error_code&) { return true; }
  bool on_int64(std::int64_t, json::string_view, json::error_code&) { return true; }
  bool on_uint64(std::uint64_t, json::string_view, json::error_code&) { return true; }
  bool on_double(double, json::string_view, json::error_code&) { return true; }
  bool on_bool(bool, json::error_code&) { return true; }
  bool on_null(json::error_code&) { return true; }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }
};

error bad(std::string message) {
  return invalid_fields({{"", std::move(message)}});
}

void write(std::string& to, const json::value& value);

/// An integer beyond 64 bits: below 1e21 its digits are shorter than an exponent makes it.
void write_digits(std::string& to, double number) {
  auto text = fmt::format("{}", number);  // -d.ddde+XX, or no fraction
  const auto exponent = text.find("e+");
  auto zeros = std::stoul(text.substr(exponent + 2));
  text.resize(exponent);
  if (const auto point = text.find('.'); point != std::string::npos) {
    zeros -= text.size() - point - 1;
    text.erase(point, 1);
  }
  to += text.append(zeros, '0');
}

void write(std::string& to, double number) {
  // Smaller integers keep their exponent: their digits would be read back as another type.
  constexpr double beyond_64_bits = 18446744073709551616.0;
  if (std::abs(number) >= beyond_64_bits && std::abs(number) < 1e21) return write_digits(to, number);
  fmt::format_to(std::back_inserter(to), "{}", number);
}

void write(std::string& to, const json::array& array) {
  to += '[';
  for (bool first = true; const auto& each : array) {
    if (!std::exchange(first, false)) to += ',';
    write(to, each);
  }
  to += ']';
}

void write(std::string& to, const json::object& object) {
  to += '{';
  for (bool first = true; const auto& each : object) {
    if (!std::exchange(first, false)) to += ',';
    to += json::serialize(json::string(each.key()));
    to += ':';
    write(to, each.value());
  }
  to += '}';
}

void write(std::string& to, const json::value& value) {
  if (const auto* object = value.if_object()) return write(to, *object);
  if (const auto* array = value.if_array()) return write(to, *array);
  if (const auto* number = value.if_double()) {
    if (!std::isfinite(*number)) throw std::invalid_argument("JSON has no NaN and no infinity");
    write(to, *number);
    return;
  }
  to += json::serialize(value);
}

template <class T>
std::string written(const T& what) {
  std::string text;
  write(text, what);
  return text;
}

}  // namespace

result<json::object> parse_json_object(std::string_view text, json_limits limits) {
  if (text.size() > limits.max_bytes)
    return bad(fmt::format("the body has {} bytes; at most {} are taken", text.size(), limits.max_bytes));
  json::parse_options options;
  options.max_depth = limits.max_depth;
  json::basic_parser<duplicate_finder> finder(options);
  json::error_code ec;
  const auto read = finder.write_some(false, text.data(), text.size(), ec);
  if (finder.handler().duplicate)
    return invalid_fields({{abbreviate(finder.handler().key, 200), "this key is there twice"}});
  if (ec) return bad(fmt::format("not valid JSON at byte {}: {}", read, ec.message()));
  auto value = json::parse(json::string_view(text.data(), text.size()), ec, {}, options);
  if (ec) return bad(fmt::format("not valid JSON: {}", ec.message()));
  if (!value.is_object()) return bad("expected a JSON object");
  return std::move(value.get_object());
}

std::string write_json(const json::value& value) {
  return written(value);
}
std::string write_json(const json::object& object) {
  return written(object);
}
std::string write_json(const json::array& array) {
  return written(array);
}

}  // namespace fleet::base
