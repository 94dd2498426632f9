#include "common/base/trace.hpp"

#include <algorithm>

#include "common/base/ids.hpp"

namespace fleet::base {
namespace {

constexpr std::size_t length = 55;  // of version 00

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_id(std::string_view text) {
  return is_hex(text) && text.find_first_not_of('0') != std::string_view::npos;
}

/// 32 digits, 122 bits of them random: a random UUID without its hyphens.
std::string random_digits() {
  auto digits = new_uuid();
  std::erase(digits, '-');
  return digits;
}

bool is_odd(char hex_digit) {
  constexpr std::string_view odd = "13579bdf";
  return odd.find(hex_digit) != std::string_view::npos;
}

}  // namespace

std::optional<trace_context> trace_context::parse(std::string_view traceparent) {
  if (traceparent.size() < length) return std::nullopt;
  const auto version = traceparent.substr(0, 2);
  const bool later = version != "00";
  if (!is_hex(version) || version == "ff") return std::nullopt;
  if (traceparent.size() > length && (!later || traceparent[length] != '-')) return std::nullopt;
  if (traceparent[2] != '-' || traceparent[35] != '-' || traceparent[52] != '-') return std::nullopt;
  const auto trace = traceparent.substr(3, 32);
  const auto span = traceparent.substr(36, 16);
  const auto flags = traceparent.substr(53, 2);
  if (!is_id(trace) || !is_id(span) || !is_hex(flags)) return std::nullopt;
  trace_context made;
  made.trace_id = trace;
  made.span_id = span;
  made.sampled = is_odd(flags.back());
  return made;
}

trace_context trace_context::begin() {
  trace_context made;
  made.trace_id = random_digits();
  made.span_id = random_digits().substr(16);
  return made;
}

trace_context trace_context::child() const {
  auto next = *this;
  next.span_id = random_digits().substr(16);
  return next;
}

std::string trace_context::str() const {
  return "00-" + trace_id + "-" + span_id + (sampled ? "-01" : "-00");
}

std::optional<trace_context> child_of(const std::optional<trace_context>& parent) {
  if (!parent) return std::nullopt;
  return parent->child();
}

std::optional<std::string> trace_id_of(const std::optional<trace_context>& trace) {
  if (!trace) return std::nullopt;
  return trace->trace_id;
}

}  // namespace fleet::base
