#include "centralcloud_daemon/patterns/similarity.hpp"

#include <algorithm>
#include <boost/uuid/name_generator_sha1.hpp>
#include <boost/uuid/uuid_io.hpp>

namespace fleet::central::patterns {
namespace {

constexpr std::size_t shingle_width = 3;

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v';
}

/// Letters, digits, `_` and every byte of a non-ASCII character.
bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

bool is_quote(char c) {
  return c == '"' || c == '\'' || c == '`';
}

/// Length of the literal at the start. One that is not closed ends with its line (back quotes: with the code), so that
/// a lone apostrophe swallows little; alike on both sides it changes nothing.
std::size_t literal_length(std::string_view rest) {
  const char quote = rest.front();
  for (std::size_t i = 1; i < rest.size(); ++i) {
    if (rest[i] == '\\') {
      ++i;
    } else if (rest[i] == quote) {
      return i + 1;
    } else if (rest[i] == '\n' && quote != '`') {
      return i;
    }
  }
  return rest.size();
}

std::size_t line_length(std::string_view rest) {
  return std::min(rest.find('\n'), rest.size());
}

/// Length of the comment at the start of `rest`, 0 if there is none. `#` and `--` have other meanings (`#include`,
/// `#{`, `i--`): they count only with a blank on each side.
std::size_t comment_length(std::string_view rest, bool after_blank) {
  if (rest.starts_with("//")) return line_length(rest);
  if (rest.starts_with("/*")) {
    const auto end = rest.find("*/", 2);
    return end == std::string_view::npos ? rest.size() : end + 2;
  }
  for (const std::string_view sign : {"#", "--"}) {
    if (!after_blank || !rest.starts_with(sign)) continue;
    if (rest.size() == sign.size() || is_blank(rest[sign.size()])) return line_length(rest);
  }
  return 0;
}

std::size_t word_length(std::string_view rest) {
  const auto end = std::find_if_not(rest.begin(), rest.end(), is_word);
  return static_cast<std::size_t>(end - rest.begin());
}

/// FNV-1a, 64 bits, with the token's length so that ("ab", "c") and ("a", "bc") differ.
std::uint64_t hash_of(std::span<const std::string_view> tokens) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  const auto add = [&hash](unsigned char byte) { hash = (hash ^ byte) * 0x100000001b3U; };
  for (const auto token : tokens) {
    for (const char c : token) add(static_cast<unsigned char>(c));
    for (auto size = token.size();; size >>= 8U) {
      add(static_cast<unsigned char>(size & 0xFFU));
      if (size == 0) break;
    }
  }
  return hash;
}

/// A UUID of the texts in this namespace; each text is preceded by its length, so that borders cannot be shifted.
std::string name_uuid(std::string_view type, std::span<const std::string_view> tokens) {
  // "fleet-patterns\0\0" as bytes: any fixed value does, as long as it never changes.
  constexpr boost::uuids::uuid space{
      {0x66, 0x6c, 0x65, 0x65, 0x74, 0x2d, 0x70, 0x61, 0x74, 0x74, 0x65, 0x72, 0x6e, 0x73, 0x00, 0x00}};
  std::string name = std::to_string(type.size()) + ':';
  name += type;
  for (const auto token : tokens) {
    name += std::to_string(token.size()) + ':';
    name += token;
  }
  return boost::uuids::to_string(boost::uuids::name_generator_sha1(space)(name));
}

}  // namespace

std::vector<std::string_view> tokens_of(std::string_view code, comments handling) {
  std::vector<std::string_view> tokens;
  bool after_blank = true;
  while (!code.empty()) {
    const char first = code.front();
    std::size_t length = 1;
    if (is_blank(first)) {
      after_blank = true;
      code.remove_prefix(1);
      continue;
    }
    const auto comment = handling == comments::drop ? comment_length(code, after_blank) : 0;
    if (comment > 0) {
      after_blank = true;
      code.remove_prefix(comment);
      continue;
    }
    if (is_word(first)) length = word_length(code);
    if (is_quote(first)) length = literal_length(code);
    tokens.push_back(code.substr(0, length));
    code.remove_prefix(length);
    after_blank = false;
  }
  return tokens;
}

code_shape shape_of(std::string_view code, comments handling) {
  const auto tokens = tokens_of(code, handling);
  code_shape shape;
  if (tokens.empty()) return shape;
  shape.digest = name_uuid({}, tokens);
  if (tokens.size() > max_tokens) {
    shape.truncated = true;
    return shape;
  }
  const std::span<const std::string_view> all(tokens);
  const auto width = std::min(shingle_width, tokens.size());
  for (std::size_t i = 0; i + width <= all.size(); ++i) shape.shingles.push_back(hash_of(all.subspan(i, width)));
  std::sort(shape.shingles.begin(), shape.shingles.end());
  return shape;
}

base::decimal similarity(const code_shape& a, const code_shape& b) {
  if (a.digest.empty() || b.digest.empty()) return {};
  if (a.digest == b.digest) return base::decimal::from_int(1);
  if (a.truncated || b.truncated) return {};
  std::int64_t shared = 0;
  auto left = a.shingles.begin();
  auto right = b.shingles.begin();
  while (left != a.shingles.end() && right != b.shingles.end()) {
    if (*left == *right) {
      ++shared;
      ++left;
      ++right;
    } else if (*left < *right) {
      ++left;
    } else {
      ++right;
    }
  }
  const auto all = static_cast<std::int64_t>(a.shingles.size() + b.shingles.size()) - shared;
  return base::decimal::from_millionths(shared * base::decimal::scale / all);
}

base::decimal similarity(std::string_view a, std::string_view b, comments handling) {
  return similarity(shape_of(a, handling), shape_of(b, handling));
}

std::optional<base::decimal> best_similarity(std::string_view code, std::span<const std::string> others,
                                             comments handling) {
  if (code.size() > max_compared_bytes) return std::nullopt;
  std::optional<base::decimal> best;
  const auto shape = shape_of(code, handling);
  for (const auto& other : others) {
    if (other.size() > max_compared_bytes) continue;
    best = std::max(best.value_or(base::decimal()), similarity(shape, shape_of(other, handling)));
  }
  return best;
}

std::string fingerprint(std::string_view pattern_type, std::string_view code) {
  return name_uuid(pattern_type, tokens_of(code));
}

}  // namespace fleet::central::patterns
