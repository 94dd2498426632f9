// W3C Trace Context: which request a piece of work belongs to, across processes and messages.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace fleet::base {

struct trace_context {
  std::string trace_id;  ///< 32 lower-case hexadecimal digits, not all zero
  std::string span_id;   ///< 16 of them: the step that the work came from
  bool sampled = true;

  /// Nothing for a text that is no `traceparent`: the standard has a receiver go on with a trace of its own then. A
  /// later version's is read as far as this one goes.
  static std::optional<trace_context> parse(std::string_view traceparent);
  /// A trace of its own.
  static trace_context begin();
  /// The next step of the same trace.
  trace_context child() const;
  /// "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
  std::string str() const;
  bool operator==(const trace_context&) const = default;
};

/// `child` where there is a trace.
std::optional<trace_context> child_of(const std::optional<trace_context>& parent);
/// For log lines; nothing where there is none.
std::optional<std::string> trace_id_of(const std::optional<trace_context>& trace);

}  // namespace fleet::base
