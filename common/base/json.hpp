// JSON: strict parsing with limits, on top of Boost.JSON.
#pragma once
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
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

}  // namespace fleet::base
