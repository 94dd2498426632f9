#include "common/messages/trace.hpp"

namespace fleet::messages {
namespace {
constexpr auto field = "traceparent";
}

std::optional<base::trace_context> read_trace(const boost::json::object& message) {
  const auto* value = message.if_contains(field);
  if (value == nullptr || !value->is_string()) return std::nullopt;
  return base::trace_context::parse(value->get_string());
}

void add_trace(boost::json::object& to, const std::optional<base::trace_context>& trace) {
  if (trace) to[field] = trace->str();
}

}  // namespace fleet::messages
