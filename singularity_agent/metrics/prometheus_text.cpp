#include "singularity_agent/metrics/prometheus_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "common/base/text.hpp"

namespace fleet::agent::metrics {
namespace {

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == ':';
}

/// Reads from the front of a line; each function takes what it names, or says that it is not there.
class line_reader {
 public:
  explicit line_reader(std::string_view text) : rest_(text) {}

  std::string_view rest() const { return rest_; }
  void skip_blanks() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t"), rest_.size())); }
  bool take(char expected) {
    if (!rest_.starts_with(expected)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  std::optional<std::string> take_name() {
    const auto end = std::find_if_not(rest_.begin(), rest_.end(), is_name_character);
    std::string name(rest_.begin(), end);
    rest_.remove_prefix(name.size());
    if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return std::nullopt;
    return name;
  }
  std::optional<std::string> take_quoted() {
    if (!take('"')) return std::nullopt;
    std::string value;
    while (!rest_.empty()) {
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') return value;
      if (c != '\\') {
        value += c;
        continue;
      }
      if (rest_.empty()) break;
      value += rest_.front() == 'n' ? '\n' : rest_.front();
      rest_.remove_prefix(1);
    }
    return std::nullopt;
  }
  /// `{a="b",c="d",}`, or nothing.
  std::optional<label_set> take_labels() {
    label_set labels;
    if (!take('{')) return labels;
    while (true) {
      skip_blanks();
      if (take('}')) return labels;
      auto name = take_name();
      skip_blanks();
      if (!name || !take('=')) return std::nullopt;
      skip_blanks();
      auto value = take_quoted();
      if (!value) return std::nullopt;
      labels.insert_or_assign(std::move(*name), std::move(*value));
      skip_blanks();
      if (!take(',') && !rest_.starts_with('}')) return std::nullopt;
    }
  }
  std::optional<double> take_number() {
    if (rest_.starts_with('+')) rest_.remove_prefix(1);
    double value = 0;
    // from_chars reads "inf" and "nan" in any case, too: the format's spellings are +Inf, -Inf and NaN.
    const auto [end, ec] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (ec != std::errc()) return std::nullopt;
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return value;
  }

 private:
  std::string_view rest_;
};

std::optional<exposed_sample> parse_line(std::string_view line) {
  line_reader in(line);
  exposed_sample sample;
  auto name = in.take_name();
  if (!name) return std::nullopt;
  sample.name = std::move(*name);
  in.skip_blanks();
  auto labels = in.take_labels();
  if (!labels) return std::nullopt;
  sample.labels = std::move(*labels);
  in.skip_blanks();
  const auto value = in.take_number();
  if (!value) return std::nullopt;
  sample.value = *value;
  in.skip_blanks();
  if (!in.rest().empty() && (!in.take_number() || !base::trim(in.rest()).empty())) return std::nullopt;
  return sample;
}

bool matches(const exposed_sample& sample, const sample_selector& selector) {
  return sample.name == selector.name &&
         std::all_of(selector.labels.begin(), selector.labels.end(), [&](const auto& wanted) {
           const auto found = sample.labels.find(wanted.first);
           return found != sample.labels.end() && found->second == wanted.second;
         });
}

bool is_known(std::string_view name) {
  if (name.ends_with("_n")) name.remove_suffix(2);
  const auto known = messages::known_metrics();
  return std::any_of(known.begin(), known.end(), [&](const auto& info) { return info.name == name; });
}

base::result<void> put(messages::metric_set& metrics, const std::string& name, double value) {
  if (!std::isfinite(value)) return {};
  const auto exact = base::decimal::from_double(value);
  const auto range = messages::metric_range(name);
  if (!exact || *exact < range.min || *exact > range.max)
    return base::invalid_fields({{name, fmt::format("{} is out of range", value)}});
  metrics.insert_or_assign(name, *exact);
  return {};
}

}  // namespace

base::result<std::vector<exposed_sample>> parse_exposition(std::string_view text) {
  std::vector<exposed_sample> samples;
  std::size_t number = 0;
  for (const auto& raw : base::split(text, '\n')) {
    ++number;
    const auto line = base::trim(raw);
    if (line.empty() || line.starts_with('#')) continue;
    auto sample = parse_line(line);
    if (!sample)
      return base::invalid_fields({{fmt::format("line {}", number), "not a sample: " + base::abbreviate(line, 100)}});
    if (samples.size() == max_exposed_samples)
      return base::invalid_fields({{fmt::format("line {}", number), "too many samples"}});
    samples.push_back(std::move(*sample));
  }
  return samples;
}

base::result<sample_selector> sample_selector::parse(std::string_view text) {
  line_reader in(base::trim(text));
  sample_selector selector;
  auto name = in.take_name();
  auto labels = name ? in.take_labels() : std::nullopt;
  if (!labels || !in.rest().empty())
    return base::invalid_fields({{"", "expected name{label=\"value\"}, got " + base::abbreviate(text, 100)}});
  selector.name = std::move(*name);
  selector.labels = std::move(*labels);
  return selector;
}

base::result<metric_mapping> parse_mapping(std::string_view text) {
  metric_mapping mapping;
  std::string part;
  bool quoted = false;
  bool escaped = false;
  bool in_labels = false;
  const auto add = [&]() -> base::result<void> {
    const auto whole = base::trim(part);
    if (whole.empty()) return {};
    const auto equals = whole.find('=');
    const auto name = base::trim(whole.substr(0, equals));
    if (equals == std::string_view::npos || !base::is_valid_id(name) || name.size() > messages::max_metric_name_bytes)
      return base::invalid_fields({{"", "expected metric=selector, got " + base::abbreviate(whole, 100)}});
    auto selector = sample_selector::parse(whole.substr(equals + 1));
    if (!selector) return selector.error();
    // The second would win unseen.
    if (!mapping.emplace(std::string(name), std::move(*selector)).second)
      return base::invalid_fields({{"", fmt::format("{} is there twice", name)}});
    if (mapping.size() > messages::max_metrics)
      return base::invalid_fields({{"", fmt::format("expected at most {} metrics", messages::max_metrics)}});
    return {};
  };
  for (const char c : text) {
    if (c == '"' && !escaped) quoted = !quoted;
    escaped = quoted && c == '\\' && !escaped;
    if (!quoted && (c == '{' || c == '}')) in_labels = c == '{';
    if (c != ',' || quoted || in_labels) {
      part += c;
      continue;
    }
    if (const auto added = add(); !added) return added.error();
    part.clear();
  }
  if (const auto added = add(); !added) return added.error();
  return mapping;
}

base::result<messages::metric_set> select_metrics(const std::vector<exposed_sample>& samples,
                                                  const metric_mapping& mapping) {
  messages::metric_set metrics;
  if (mapping.empty()) {
    for (const auto& sample : samples) {
      if (!sample.labels.empty() || !is_known(sample.name)) continue;
      if (const auto done = put(metrics, sample.name, sample.value); !done) return done.error();
    }
    return metrics;
  }
  for (const auto& [name, selector] : mapping) {
    double sum = 0;
    bool found = false;
    for (const auto& sample : samples) {
      if (!matches(sample, selector)) continue;
      sum += sample.value;
      found = true;
    }
    if (!found) continue;
    if (const auto done = put(metrics, name, sum); !done) return done.error();
  }
  return metrics;
}

}  // namespace fleet::agent::metrics
