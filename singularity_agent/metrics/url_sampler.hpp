// Metrics that a service of the operator's answers with: a JSON object, or a Prometheus exposition.
#pragma once
#include <chrono>
#include <string>
#include <string_view>

#include "common/http/client.hpp"
#include "singularity_agent/metrics/prometheus_text.hpp"
#include "singularity_agent/metrics/sampler.hpp"

namespace fleet::agent::metrics {

struct metrics_url {
  http::endpoint to;
  std::string target;  ///< path and query
  /// `http://127.0.0.1:9100/metrics`; the path is `/metrics` where none is given, the port 80. Error `invalid_input`:
  /// another scheme, no IP address (or localhost), a port or path that is none.
  static base::result<metrics_url> parse(std::string_view text);
};

struct url_sampler_options {
  metrics_url url;
  metric_mapping mapping;  ///< of an exposition
  std::chrono::milliseconds timeout{5'000};
};

/// A body that says it is JSON, or begins as an object, is read as what a command prints; any other as an exposition.
/// Errors, all of which name the setting: `unavailable` (nobody answers, or another status than 200), `timeout`,
/// `invalid_input` (naming line or metric; also an exposition that gives no metric at all).
class url_sampler final : public sampler {
 public:
  explicit url_sampler(url_sampler_options options);
  boost::asio::awaitable<base::result<messages::metric_set>> sample() override;

 private:
  url_sampler_options options_;
};

}  // namespace fleet::agent::metrics
