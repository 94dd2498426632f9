#include "singularity_agent/patterns/suggestions.hpp"

#include <algorithm>
#include <cctype>
#include <string>
#include <utility>

#include "common/messages/reader.hpp"

namespace fleet::agent::patterns {
namespace {

bool is_word(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return std::isalnum(byte) != 0 || c == '_' || byte >= 0x80;
}

std::vector<std::string_view> tokens_of(std::string_view code) {
  std::vector<std::string_view> tokens;
  for (std::size_t at = 0; at < code.size();) {
    auto end = at + 1;
    if (is_word(code[at])) {
      while (end < code.size() && is_word(code[end])) ++end;
    }
    if (std::isspace(static_cast<unsigned char>(code[at])) == 0) tokens.push_back(code.substr(at, end - at));
    at = end;
  }
  std::sort(tokens.begin(), tokens.end());
  return tokens;
}

std::string before_of(const boost::json::object& pattern) {
  const auto* code = pattern.if_contains("code_pattern");
  if (code == nullptr || !code->is_object()) return {};
  const auto* before = code->as_object().if_contains("before");
  return before != nullptr && before->is_string() ? std::string(before->as_string()) : std::string();
}

}  // namespace

base::decimal similarity(std::string_view a, std::string_view b) {
  const auto left = tokens_of(a);
  const auto right = tokens_of(b);
  if (left.empty() || right.empty()) return {};
  std::vector<std::string_view> shared;
  std::set_intersection(left.begin(), left.end(), right.begin(), right.end(), std::back_inserter(shared));
  const auto all = left.size() + right.size() - shared.size();
  return base::decimal::from_millionths(static_cast<std::int64_t>(shared.size()) * base::decimal::scale /
                                        static_cast<std::int64_t>(all));
}

boost::json::array suggest(std::string_view code, std::vector<boost::json::object> patterns) {
  std::vector<std::pair<base::decimal, boost::json::object>> fitting;
  for (auto& pattern : patterns) {
    const auto alike = similarity(code, before_of(pattern));
    if (alike > min_similarity) fitting.emplace_back(alike, std::move(pattern));
  }
  std::stable_sort(fitting.begin(), fitting.end(), [](const auto& x, const auto& y) { return x.first > y.first; });
  if (fitting.size() > max_suggestions) fitting.resize(max_suggestions);
  boost::json::array all;
  for (auto& [alike, pattern] : fitting) {
    pattern["similarity"] = messages::to_json(alike);
    all.push_back(std::move(pattern));
  }
  return all;
}

}  // namespace fleet::agent::patterns
