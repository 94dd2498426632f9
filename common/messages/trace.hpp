// The optional field `traceparent` of messages: which request they belong to.
#pragma once
#include <boost/json/object.hpp>
#include <optional>

#include "common/base/trace.hpp"

namespace fleet::messages {

/// Nothing where it is absent or no traceparent: a trace is never a reason to refuse a message.
std::optional<base::trace_context> read_trace(const boost::json::object& message);
void add_trace(boost::json::object& to, const std::optional<base::trace_context>& trace);

}  // namespace fleet::messages
