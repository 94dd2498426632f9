#include "common/messages/trace.hpp"

namespace fleet::messages {

std::optional<base::trace_context> read_trace(const boost::json::object& message, std::string_view field) {
  const auto* value = message.if_contains(field);
  if (value == nullptr || !value->is_string()) return std::nullopt;
  return base::trace_context::parse(value->get_string());
}

void add_trace(boost::json::object& to, const std::optional<base::trace_context>& trace, std::string_view field) {
  if (trace) to[field] = trace->str();
}

}  // namespace fleet::messages
