// One good example of every message, with all optional fields, and ways to spoil it.
#pragma once
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"

namespace fleet::messages::tests {

struct message_case {
  std::string type;
  std::string text;                   ///< JSON with every field
  std::vector<std::string> required;  ///< dotted paths
  std::vector<std::string> optional;
  /// Decodes, encodes what came out, and decodes that again; an error where the two structs differ.
  std::function<base::result<boost::json::object>(const boost::json::object&)> decode;
};

const std::vector<message_case>& all_messages();
const message_case& message_named(std::string_view type);
boost::json::object parse_object(std::string_view text);

/// `path`: names and array indices, separated by dots.
void set_at(boost::json::object& object, std::string_view path, boost::json::value value);
void remove_at(boost::json::object& object, std::string_view path);

/// The message that the error has for this field; empty where it has none.
std::string message_for(const base::error& error, std::string_view field);

}  // namespace fleet::messages::tests
