#include "common/http/router.hpp"

#include <algorithm>
#include <stdexcept>

#include "common/base/text.hpp"

namespace fleet::http {
namespace {

using parameters = decltype(request::parameters);

bool is_parameter(std::string_view segment) {
  return segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
}

/// The pattern's parameters where it fits the path's segments.
std::optional<parameters> fit(const std::vector<std::string>& pattern, const std::vector<std::string>& path) {
  if (pattern.size() != path.size()) return std::nullopt;
  parameters found;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (!is_parameter(pattern[i])) {
      if (pattern[i] != path[i]) return std::nullopt;
      continue;
    }
    if (path[i].empty()) return std::nullopt;
    found.emplace(pattern[i].substr(1, pattern[i].size() - 2), path[i]);
  }
  return found;
}

}  // namespace

router& router::add(std::string_view method, std::string_view pattern, handler call) {
  for (const auto& known : routes_)
    if (known.method == method && known.pattern == pattern)
      throw std::logic_error("a route is there twice: " + std::string(pattern));
  routes_.push_back({std::string(method), std::string(pattern), base::split(pattern, '/'), std::move(call)});
  return *this;
}

router& router::add_fallback(handler call) {
  fallback_ = std::move(call);
  return *this;
}

router::match router::find(std::string_view method, std::string_view path) const {
  match result;
  // Split first, decode then: an encoded slash belongs to its segment.
  auto segments = base::split(path, '/');
  for (auto& segment : segments) {
    auto decoded = percent_decode(segment);
    if (!decoded) return result;
    segment = std::move(*decoded);
  }
  std::vector<std::string> allowed;
  const auto wanted = method == "HEAD" ? std::string_view("GET") : method;
  for (const auto& candidate : routes_) {
    auto found = fit(candidate.segments, segments);
    if (!found) continue;
    allowed.push_back(candidate.method);
    const bool better = result.call == nullptr || found->size() < result.parameters.size();
    if (candidate.method != wanted || !better) continue;
    result.call = &candidate.call;
    result.pattern = candidate.pattern;
    result.parameters = std::move(*found);
  }
  if (result.call != nullptr) return result;
  if (!allowed.empty()) {
    if (std::find(allowed.begin(), allowed.end(), "GET") != allowed.end()) allowed.emplace_back("HEAD");
    std::sort(allowed.begin(), allowed.end());
    allowed.erase(std::unique(allowed.begin(), allowed.end()), allowed.end());
    for (const auto& one : allowed) result.allow += (result.allow.empty() ? "" : ", ") + one;
  } else if (fallback_ && wanted == "GET") {
    result.call = &fallback_;
    result.pattern = "fallback";
  }
  return result;
}

}  // namespace fleet::http
