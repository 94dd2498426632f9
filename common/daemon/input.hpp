// What commands read: a file, or standard input.
#pragma once
#include <boost/json/object.hpp>
#include <string>

#include "common/base/error.hpp"

namespace fleet::daemon {

/// The text of a file, or of standard input for "-": the first 8 MiB and one byte, so that whoever takes it sees where
/// it is too much. Error `invalid_input`.
base::result<std::string> read_input(const std::string& file);
/// The same, as a JSON object. Error `invalid_input`, naming the file.
base::result<boost::json::object> read_json_input(const std::string& file);

}  // namespace fleet::daemon
