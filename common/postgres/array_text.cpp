#include "common/postgres/rows.hpp"

namespace fleet::postgres {
namespace {

base::error not_an_array() {
  return base::make_error(base::error_kind::invalid_input, "an array of one dimension");
}

/// Reads one element from the front of `text`. False: malformed.
bool take_element(std::string_view& text, std::optional<std::string>& out) {
  std::string value;
  const bool quoted = !text.empty() && text.front() == '"';
  if (quoted) text.remove_prefix(1);
  while (!text.empty()) {
    char c = text.front();
    if (quoted ? c == '"' : (c == ',' || c == '}')) break;
    if (!quoted && (c == '{' || c == '"')) return false;
    text.remove_prefix(1);
    if (c == '\\') {
      if (text.empty()) return false;
      c = text.front();
      text.remove_prefix(1);
    }
    value += c;
  }
  if (text.empty()) return false;
  if (quoted) text.remove_prefix(1);
  if (!quoted && value.empty()) return false;
  if (!quoted && value == "NULL") {
    out = std::nullopt;
  } else {
    out = std::move(value);
  }
  return true;
}

}  // namespace

base::result<std::vector<std::optional<std::string>>> parse_array(std::string_view text) {
  // A lower bound other than 1 comes in front: "[0:1]={1,2}".
  if (!text.empty() && text.front() == '[') {
    const auto equals = text.find('=');
    if (equals == std::string_view::npos) return not_an_array();
    text.remove_prefix(equals + 1);
  }
  if (text.size() < 2 || text.front() != '{' || text.back() != '}') return not_an_array();
  text.remove_prefix(1);
  std::vector<std::optional<std::string>> elements;
  if (text == "}") return elements;
  while (true) {
    std::optional<std::string> element;
    if (!take_element(text, element) || text.empty()) return not_an_array();
    elements.push_back(std::move(element));
    const char after = text.front();
    text.remove_prefix(1);
    if (after == '}') break;
    if (after != ',') return not_an_array();
  }
  if (!text.empty()) return not_an_array();
  return elements;
}

}  // namespace fleet::postgres
