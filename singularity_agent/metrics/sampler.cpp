#include "singularity_agent/metrics/sampler.hpp"

#include <fmt/format.h>

namespace fleet::agent::metrics {

void composite_sampler::add(std::string name, std::unique_ptr<sampler> from) {
  telemetry::episode trouble(log_, "metrics_source_failed", "metrics_source_answers", "its figures come again");
  parts_.push_back(part{std::move(name), std::move(from), 0, {}, std::move(trouble)});
}

boost::asio::awaitable<base::result<messages::metric_set>> composite_sampler::sample() {
  messages::metric_set all;
  std::string errors;
  std::size_t failed = 0;
  for (auto& source : parts_) {
    auto sampled = co_await source.from->sample();
    if (sampled) {
      source.last_error.clear();
      source.trouble.over();
      for (const auto& [name, value] : *sampled) all.insert_or_assign(name, value);
      continue;
    }
    ++failed;
    ++source.failures;
    source.last_error = sampled.error().message;
    source.trouble.occurred(source.last_error, source.name);
    errors += fmt::format("{}{}: {}", errors.empty() ? "" : "; ", source.name, source.last_error);
  }
  if (failed != 0 && failed == parts_.size())
    co_return base::make_error(base::error_kind::unavailable, "no metrics: " + errors);
  co_return all;
}

}  // namespace fleet::agent::metrics
