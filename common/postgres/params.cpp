#include "common/postgres/params.hpp"

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>

#include "common/base/error.hpp"
#include "common/base/json.hpp"

namespace fleet::postgres {
namespace {

template <json_like T>
std::string written(const T& value) {
  try {
    return base::write_json(value);
  } catch (const std::invalid_argument& wrong) {
    throw base::failure(base::make_error(base::error_kind::invalid_input, wrong.what()));
  }
}

}  // namespace

std::string encode(bool value) {
  return value ? "t" : "f";
}
std::string encode(std::int64_t value) {
  return fmt::format("{}", value);
}
std::string encode(std::uint64_t value) {
  return fmt::format("{}", value);
}

std::string encode(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  return fmt::format("{}", value);  // the shortest text that reads back as the same number
}

std::string encode(base::decimal value) {
  return value.str();
}
std::string encode(base::timestamp value) {
  return base::format_rfc3339(value);
}

std::string encode_json(const boost::json::object& value) {
  return written(value);
}
std::string encode_json(const boost::json::array& value) {
  return written(value);
}
std::string encode_json(const boost::json::value& value) {
  return written(value);
}

std::string encode_array(const std::vector<std::optional<std::string>>& elements) {
  std::string out = "{";
  for (const auto& element : elements) {
    if (out.size() > 1) out += ',';
    if (!element) {
      out += "NULL";
      continue;
    }
    // Always quoted: an element may be empty, look like NULL, or hold braces, commas and spaces.
    out += '"';
    for (const char c : *element) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    out += '"';
  }
  return out + "}";
}

params& params::add_null() {
  values_.emplace_back(std::nullopt);
  return *this;
}

params& params::push(std::string text) {
  // Text parameters end at a zero byte: sending one would silently cut the value.
  if (text.find('\0') != std::string::npos) {
    throw base::failure(base::make_error(base::error_kind::invalid_input,
                                         fmt::format("parameter ${} holds a zero byte", values_.size() + 1)));
  }
  values_.emplace_back(std::move(text));
  return *this;
}

}  // namespace fleet::postgres
