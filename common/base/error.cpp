#include "common/base/error.hpp"

namespace fleet::base {

std::string_view to_string(error_kind kind) {
  switch (kind) {
    case error_kind::invalid_input:
      return "invalid_input";
    case error_kind::not_found:
      return "not_found";
    case error_kind::conflict:
      return "conflict";
    case error_kind::refused:
      return "refused";
    case error_kind::unavailable:
      return "unavailable";
    case error_kind::timeout:
      return "timeout";
    case error_kind::cancelled:
      return "cancelled";
    case error_kind::internal:
      return "internal";
  }
  return "internal";
}

error invalid_fields(std::vector<field_error> fields) {
  std::string message;
  for (const auto& field : fields) {
    if (!message.empty()) message += "; ";
    message += field.field.empty() ? field.message : field.field + ": " + field.message;
  }
  return error{error_kind::invalid_input, std::move(message), std::move(fields)};
}

void throw_exception_from_error(const error& what, const boost::source_location&) {
  throw failure(what);
}

}  // namespace fleet::base
