#include "common/telemetry/metrics.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "common/base/text.hpp"

namespace fleet::telemetry {
namespace {

void check_name(const std::string& name, bool is_counter) {
  const bool total = name.ends_with("_total");
  const bool good = !name.empty() && name.front() >= 'a' && name.front() <= 'z' &&
                    std::all_of(name.begin(), name.end(),
                                [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
  const bool odd_unit = name.ends_with("_ms") || name.ends_with("_milliseconds") || name.ends_with("_kb");
  if (!good || odd_unit || total != is_counter) throw std::invalid_argument("not a good metric name: " + name);
}

bool is_histogram(const catalogue::metric& what) {
  return what.of == catalogue::kind::histogram || what.of == catalogue::kind::wait_histogram;
}

std::invalid_argument another_kind(const catalogue::metric& what) {
  return std::invalid_argument("of another kind: " + std::string(what.name));
}

/// Every combination of one group of `from_start`.
std::vector<labels> combinations(const catalogue::metric& what, std::string_view group) {
  const auto names = base::split(what.labels, ',');
  const auto values = base::split(group, ',');
  if (values.size() != names.size())
    throw std::invalid_argument("not a value for each label: " + std::string(what.name));
  std::vector<labels> all{labels{}};
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::vector<labels> longer;
    for (const auto& begun : all) {
      for (const auto& value : base::split(values[i], '|')) {
        longer.push_back(begun);
        longer.back()[names[i]] = value;
      }
    }
    all = std::move(longer);
  }
  return all;
}

std::vector<labels> known_from_start(const catalogue::metric& what) {
  if (what.labels.empty()) return {labels{}};
  std::vector<labels> all;
  if (what.from_start.empty()) return all;
  for (const auto& group : base::split(what.from_start, ';')) {
    const auto some = combinations(what, group);
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

}  // namespace

void counter::increment(double by) const {
  of_->Increment(by);
}
void counter::raise_to(double total) const {
  const double missing = total - of_->Value();
  if (missing > 0) of_->Increment(missing);
}
double counter::value() const {
  return of_->Value();
}
void gauge::set(double value) const {
  of_->Set(value);
}
void gauge::add(double by) const {
  of_->Increment(by);
}
double gauge::value() const {
  return of_->Value();
}
void histogram::observe(double value) const {
  of_->Observe(value);
}

std::vector<double> latency_buckets_seconds() {
  return {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30};
}

std::vector<double> wait_buckets_seconds() {
  return {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600};
}

struct metrics::state {
  explicit state(std::size_t most) : max_series(most) {}

  /// The labels to use: as given while the family has room, otherwise one shared set.
  labels bounded(const std::string& name, const labels& with) {
    const std::scoped_lock lock(mutex);
    auto& known = series[name];
    if (known.contains(with) || known.size() < max_series) {
      known.insert(with);
      return with;
    }
    auto other = with;
    for (auto& [key, value] : other) value = "other";
    return other;
  }

  std::size_t max_series;
  prometheus::Registry registry;
  std::mutex mutex;
  std::map<std::string, std::set<labels>> series;
};

metrics::metrics(std::size_t max_series) : state_(std::make_unique<state>(max_series)) {}
metrics::~metrics() = default;

counter metrics::get_counter(const std::string& name, const std::string& help, const labels& with) {
  check_name(name, true);
  auto& family = prometheus::BuildCounter().Name(name).Help(help).Register(state_->registry);
  return counter(&family.Add(state_->bounded(name, with)));
}

gauge metrics::get_gauge(const std::string& name, const std::string& help, const labels& with) {
  check_name(name, false);
  auto& family = prometheus::BuildGauge().Name(name).Help(help).Register(state_->registry);
  return gauge(&family.Add(state_->bounded(name, with)));
}

histogram metrics::get_histogram(const std::string& name, const std::string& help, const labels& with,
                                 const std::vector<double>& bounds) {
  check_name(name, false);
  auto& family = prometheus::BuildHistogram().Name(name).Help(help).Register(state_->registry);
  return histogram(&family.Add(state_->bounded(name, with), bounds));
}

counter metrics::counter_of(known_metric what, const labels& with) {
  const auto& info = *what.info;
  if (info.of != catalogue::kind::counter) throw another_kind(info);
  return get_counter(std::string(info.name), std::string(info.help), with);
}

gauge metrics::gauge_of(known_metric what, const labels& with) {
  const auto& info = *what.info;
  if (info.of != catalogue::kind::gauge) throw another_kind(info);
  return get_gauge(std::string(info.name), std::string(info.help), with);
}

histogram metrics::histogram_of(known_metric what, const labels& with) {
  if (!is_histogram(*what.info)) throw another_kind(*what.info);
  return make_histogram(*what.info, with);
}

histogram metrics::make_histogram(const catalogue::metric& what, const labels& with) {
  const bool waits = what.of == catalogue::kind::wait_histogram;
  return get_histogram(std::string(what.name), std::string(what.help), with,
                       waits ? wait_buckets_seconds() : latency_buckets_seconds());
}

void metrics::begin(catalogue::source of) {
  for (const auto& each : catalogue::all) {
    if (each.of == catalogue::kind::gauge || (each.from != of && each.from != catalogue::source::both)) continue;
    for (const auto& with : known_from_start(each)) {
      if (is_histogram(each)) {
        make_histogram(each, with);
      } else {
        get_counter(std::string(each.name), std::string(each.help), with);
      }
    }
  }
}

std::string metrics::exposition() const {
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, state_->registry.Collect());
  return std::move(out).str();
}

}  // namespace fleet::telemetry
