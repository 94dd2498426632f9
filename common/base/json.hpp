// JSON on top of Boost.JSON: strict parsing with limits, and writing numbers as people write them.
#pragma once
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <string>
#include <string_view>

#include "common/base/error.hpp"

namespace fleet::base {

struct json_limits {
  std::size_t max_bytes = 8U * 1024 * 1024;
  std::size_t max_depth = 32;
};

/// Parses one JSON object: RFC 8259, valid UTF-8, no duplicate keys, within the limits. Error: `invalid_input`, with
/// the place, or with the key that is there twice.
result<boost::json::object> parse_json_object(std::string_view text, json_limits limits = {});

/// One line of JSON. Numbers as short as they can be read back exactly: 2.5, where Boost.JSON's own serializer writes
/// 2.5E0. What was read from jsonb's text is never longer than that. Throws `std::invalid_argument` for a number that
/// JSON does not have (NaN, infinity).
std::string write_json(const boost::json::value& value);
std::string write_json(const boost::json::object& object);
std::string write_json(const boost::json::array& array);

}  // namespace fleet::base
