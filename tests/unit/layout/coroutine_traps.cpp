#include "tests/unit/layout/coroutine_traps.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

#include "tests/unit/layout/source_tree.hpp"

namespace fleet::layout {
namespace {

constexpr auto npos = std::string_view::npos;

bool is_space(char c) {
  return std::isspace(static_cast<unsigned char>(c)) != 0;
}
bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

/// The last position before `at` that is no space.
std::size_t before(std::string_view code, std::size_t at) {
  while (at > 0 && is_space(code[at - 1])) --at;
  return at == 0 ? npos : at - 1;
}

std::size_t after(std::string_view code, std::size_t at) {
  while (at < code.size() && is_space(code[at])) ++at;
  return at;
}

std::string_view word_ending_at(std::string_view code, std::size_t last) {
  if (last == npos || !is_word(code[last])) return {};
  auto first = last;
  while (first > 0 && is_word(code[first - 1])) --first;
  return code.substr(first, last - first + 1);
}

bool is_open(char c) {
  return c == '(' || c == '[' || c == '{';
}
bool is_close(char c) {
  return c == ')' || c == ']' || c == '}';
}

/// The bracket that closes the one at `at`.
std::size_t closing(std::string_view code, std::size_t at) {
  int depth = 0;
  for (; at < code.size(); ++at) {
    if (is_open(code[at])) ++depth;
    if (is_close(code[at]) && --depth == 0) return at;
  }
  return code.size();
}

/// The bracket that opens the one at `at`.
std::size_t opening(std::string_view code, std::size_t at) {
  int depth = 0;
  for (;; --at) {
    if (is_close(code[at])) ++depth;
    if (is_open(code[at]) && --depth == 0) return at;
    if (at == 0) return 0;
  }
}

/// Whether the braces at `open` hold statements (there is a `;`, or a block, directly inside) and not initializers.
bool is_block(std::string_view code, std::size_t open) {
  const auto close = closing(code, open);
  for (auto at = open + 1; at < close; ++at) {
    if (code[at] == ';') return true;
    if (is_open(code[at])) {
      const bool inner_block = code[at] == '{' && is_block(code, at);
      at = closing(code, at);
      const auto next = after(code, at + 1);
      // A block that an operand follows ends a lambda's body; anything else ends a statement.
      if (inner_block && (next >= close || (code[next] != ',' && code[next] != ')' && code[next] != '('))) return true;
    }
  }
  return false;
}

bool is_condition(std::string_view code, std::size_t open_paren) {
  static constexpr std::array<std::string_view, 5> keywords = {"if", "while", "for", "switch", "constexpr"};
  const auto word = word_ending_at(code, before(code, open_paren));
  return std::find(keywords.begin(), keywords.end(), word) != keywords.end();
}

struct range {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool condition = false;  ///< of an if, while, for or switch
};

/// The end of an expression that begins at `at`: its `;`, or the bracket that ends what it stands in.
std::size_t end_of_expression(std::string_view code, std::size_t at) {
  for (; at < code.size(); ++at) {
    if (code[at] == ';' || is_close(code[at])) return at;
    if (is_open(code[at])) at = closing(code, at);
  }
  return at;
}

range full_expression(std::string_view code, std::size_t keyword_at) {
  for (auto at = keyword_at; at > 0;) {
    --at;
    const char c = code[at];
    if (c == ';' || (c == '{' && is_block(code, at))) return {at + 1, end_of_expression(code, at + 1)};
    if (c == '(' && is_condition(code, at)) return {at + 1, end_of_expression(code, at + 1), true};
    if (c == '}') {
      const auto next = after(code, at + 1);
      const bool operand = next < code.size() && (code[next] == ',' || code[next] == ')' || code[next] == '(');
      const auto open = opening(code, at);
      if (!operand && (is_block(code, open) || after(code, open + 1) == at))
        return {at + 1, end_of_expression(code, at + 1)};
      at = open;
    } else if (c == ')' || c == ']') {
      const auto open = opening(code, at);
      if (c == ')' && is_condition(code, open)) return {at + 1, end_of_expression(code, at + 1)};
      at = open;
    }
  }
  return {0, end_of_expression(code, 0)};
}

/// The body of the lambda whose `[` is at `at`.
std::size_t lambda_body(std::string_view code, std::size_t at) {
  for (at = closing(code, at) + 1; at < code.size(); ++at) {
    if (code[at] == '{') return at;
    if (code[at] == '(') at = closing(code, at);
    if (code[at] == ';') break;
  }
  return npos;
}

bool is_lambda(std::string_view code, std::size_t bracket) {
  const auto previous = before(code, bracket);
  if (previous == npos) return true;
  const auto word = word_ending_at(code, previous);
  if (!word.empty()) return word == "return" || word == "co_return" || word == "co_await";
  return code[previous] != ')' && code[previous] != ']' && code[previous] != '[' && code[previous] != '"';
}

std::optional<std::string> trap_in(std::string_view code, range in) {
  if (in.condition) return "condition";
  for (auto at = in.begin; at < in.end; ++at) {
    if (code[at] == '?') return "?:";
    if (code[at] == '{') return "braces";
    if (code[at] != '[' || code[std::min(at + 1, code.size() - 1)] == '[' || !is_lambda(code, at)) continue;
    if (after(code, at + 1) != closing(code, at)) return "capturing lambda";
    const auto body = lambda_body(code, at);
    if (body != npos && body < in.end) at = closing(code, body);
  }
  return std::nullopt;
}

}  // namespace

std::vector<trap> find_traps(std::string_view text) {
  static constexpr std::string_view keyword = "co_await";
  const auto code = code_only(text);
  std::vector<trap> found;
  for (auto at = code.find(keyword); at != npos; at = code.find(keyword, at + keyword.size())) {
    if ((at > 0 && is_word(code[at - 1])) || is_word(code[std::min(at + keyword.size(), code.size() - 1)])) continue;
    const auto what = trap_in(code, full_expression(code, at));
    if (what) found.push_back({line_of(code, at), *what});
  }
  return found;
}

}  // namespace fleet::layout
