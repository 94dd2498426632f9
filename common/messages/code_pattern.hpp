// A pattern of code that worked: what was there before, what replaced it.
#pragma once
#include <boost/json/object.hpp>
#include <optional>
#include <string>

#include "common/messages/reader.hpp"

namespace fleet::messages {

struct code_pattern {
  std::string before;  ///< up to 1 MiB, as `after` and `code_template`
  std::string after;
  std::string description;
  std::optional<std::string> name;
  std::optional<std::string> code_template;
  std::optional<boost::json::object> metadata;

  /// Unknown fields are ignored.
  static code_pattern read(reader in);
  boost::json::object encode() const;
  bool operator==(const code_pattern&) const = default;
};

/// Reads the required field `name` of `in`.
code_pattern read_code_pattern(reader& in, std::string_view name = "code_pattern");

}  // namespace fleet::messages
