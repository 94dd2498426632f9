#include "common/config/values.hpp"

#include <fmt/format.h>

#include <stdexcept>

#include "common/base/text.hpp"
#include "common/config/parse.hpp"

namespace fleet::config {
namespace {

/// What a getter may read: anything else is a mistake in our own code, found by the first test that runs it.
template <class T>
T expect(std::optional<T> parsed, std::string_view key) {
  if (!parsed) throw std::logic_error(fmt::format("setting {} was read as another type, or has no value", key));
  return *parsed;
}

}  // namespace

values::values(std::shared_ptr<const schema> of, std::map<std::string, value, std::less<>> all)
    : schema_(std::move(of)), all_(std::make_shared<const std::map<std::string, value, std::less<>>>(std::move(all))) {}

const value& values::get(std::string_view key) const {
  const auto found = all_->find(key);
  if (found == all_->end()) throw std::logic_error(fmt::format("no such setting: {}", key));
  return found->second;
}

std::int64_t values::get_int(std::string_view key) const {
  return expect(parse_integer(get(key).text), key);
}

base::decimal values::get_decimal(std::string_view key) const {
  const auto parsed = base::decimal::parse(get(key).text);
  return expect(parsed ? std::optional(*parsed) : std::nullopt, key);
}

bool values::get_bool(std::string_view key) const {
  return expect(parse_boolean(get(key).text), key);
}

std::chrono::milliseconds values::get_ms(std::string_view key) const {
  return std::chrono::milliseconds(get_int(key));
}

ratio values::get_ratio(std::string_view key) const {
  return expect(parse_ratio(get(key).text), key);
}

std::vector<std::string> values::get_list(std::string_view key) const {
  std::vector<std::string> items;
  for (const auto& item : base::split(get(key).text, ','))
    if (const auto trimmed = base::trim(item); !trimmed.empty()) items.emplace_back(trimmed);
  return items;
}

std::vector<std::string> values::names_of(std::string_view family_key) const {
  const auto prefix = family_key.substr(0, family_key.size() - 1);
  std::vector<std::string> names;
  for (auto at = all_->lower_bound(prefix); at != all_->end() && at->first.starts_with(prefix); ++at)
    names.push_back(at->first.substr(prefix.size()));
  return names;
}

std::vector<change> diff(const values& before, const values& after) {
  std::map<std::string, std::pair<std::string, std::string>> texts;
  for (const auto& [key, held] : before.all()) texts[key].first = held.text;
  for (const auto& [key, held] : after.all()) texts[key].second = held.text;
  std::vector<change> changes;
  for (const auto& what : after.of().settings()) {
    for (const auto& [key, pair] : texts) {
      if (pair.first == pair.second || after.of().find(key) != &what) continue;
      changes.push_back({key, shown(what, pair.first), shown(what, pair.second), what.reloadable});
    }
  }
  return changes;
}

values apply_reloadable(const values& before, const values& after) {
  auto merged = before.all();
  for (const auto& one : diff(before, after)) {
    if (!one.reloadable) continue;
    const auto found = after.all().find(one.key);
    if (found == after.all().end()) {
      merged.erase(one.key);
    } else {
      merged[one.key] = found->second;
    }
  }
  return {std::make_shared<const schema>(before.of()), std::move(merged)};
}

std::string shown(const setting& what, std::string_view text) {
  if (text.empty()) return {};
  if (what.type == value_type::secret) return "***";
  return base::mask_secrets(text);
}

}  // namespace fleet::config
