// Counters, gauges and histograms in the Prometheus text format.
#pragma once
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/telemetry/catalogue.hpp"

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
}  // namespace prometheus

namespace fleet::telemetry {

using labels = std::map<std::string, std::string>;

/// Handles are pointers into the registry: cheap to copy, valid as long as it, safe from several threads.
class counter {
 public:
  explicit counter(prometheus::Counter* of) : of_(of) {}
  void increment(double by = 1) const;
  /// For totals that are counted elsewhere: raises it to `total`; a lower one (a restored database) changes nothing.
  void raise_to(double total) const;
  double value() const;

 private:
  prometheus::Counter* of_;
};

class gauge {
 public:
  explicit gauge(prometheus::Gauge* of) : of_(of) {}
  void set(double value) const;
  void add(double by) const;
  double value() const;

 private:
  prometheus::Gauge* of_;
};

class histogram {
 public:
  explicit histogram(prometheus::Histogram* of) : of_(of) {}
  void observe(double value) const;

 private:
  prometheus::Histogram* of_;
};

/// Seconds, from half a millisecond to half a minute.
std::vector<double> latency_buckets_seconds();
/// Seconds, from a millisecond to an hour: a message may have waited through an outage.
std::vector<double> wait_buckets_seconds();

/// A name of `catalogue`, checked when it is compiled: what a dashboard or a rule names is made.
struct known_metric {
  consteval known_metric(const char* name) : info(&catalogue::find(name)) {}
  const catalogue::metric* info;
};

/// Names follow Prometheus: snake_case, base units (`_seconds`, `_bytes`), counters end in `_total`; anything else is a
/// programmer's error (`std::invalid_argument`). The same name and labels give the same series. A family holds at most
/// `max_series` sets of labels; later ones are counted together, with every label's value "other".
class metrics {
 public:
  explicit metrics(std::size_t max_series = 1000);
  ~metrics();
  metrics(const metrics&) = delete;
  metrics& operator=(const metrics&) = delete;

  counter get_counter(const std::string& name, const std::string& help, const labels& with = {});
  gauge get_gauge(const std::string& name, const std::string& help, const labels& with = {});
  histogram get_histogram(const std::string& name, const std::string& help, const labels& with = {},
                          const std::vector<double>& bounds = latency_buckets_seconds());

  /// The same with kind, help and buckets from the catalogue; another kind than there is a programmer's error.
  counter counter_of(known_metric what, const labels& with = {});
  gauge gauge_of(known_metric what, const labels& with = {});
  histogram histogram_of(known_metric what, const labels& with = {});

  /// Makes the counters and histograms of a daemon that have no labels or whose labels' values the catalogue knows: a
  /// series that came with its first event would hide that one from `increase()`. No gauges: their 0 would say
  /// something.
  void begin(catalogue::source of);

  /// The text format (version 0.0.4) of everything registered.
  std::string exposition() const;

 private:
  histogram make_histogram(const catalogue::metric& what, const labels& with);

  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace fleet::telemetry
