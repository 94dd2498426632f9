// The optional field `traceparent` of messages: which request they belong to. A sample of metrics has a second one.
#pragma once
#include <boost/json/object.hpp>
#include <optional>
#include <string_view>

#include "common/base/trace.hpp"

namespace fleet::messages {

inline constexpr std::string_view trace_field = "traceparent";
/// Of the request that an agent told figures with which are in the sample; `traceparent` is the proposal's.
inline constexpr std::string_view told_trace_field = "metrics_traceparent";

/// Nothing where it is absent or no traceparent: a trace is never a reason to refuse a message.
std::optional<base::trace_context> read_trace(const boost::json::object& message, std::string_view field = trace_field);
void add_trace(boost::json::object& to, const std::optional<base::trace_context>& trace,
               std::string_view field = trace_field);

}  // namespace fleet::messages
