#include "singularity_agent/metrics/sampler.hpp"

#include <fmt/format.h>

namespace fleet::agent::metrics {

void composite_sampler::add(std::string name, std::unique_ptr<sampler> from) {
  part added;
  added.name = std::move(name);
  added.from = std::move(from);
  parts_.push_back(std::move(added));
}

boost::asio::awaitable<base::result<messages::metric_set>> composite_sampler::sample() {
  messages::metric_set all;
  std::string errors;
  std::size_t failed = 0;
  for (auto& source : parts_) {
    auto sampled = co_await source.from->sample();
    if (sampled) {
      source.last_error.clear();
      for (const auto& [name, value] : *sampled) all.insert_or_assign(name, value);
      continue;
    }
    ++failed;
    ++source.failures;
    source.last_error = sampled.error().message;
    errors += fmt::format("{}{}: {}", errors.empty() ? "" : "; ", source.name, source.last_error);
  }
  if (failed != 0 && failed == parts_.size())
    co_return base::make_error(base::error_kind::unavailable, "no metrics: " + errors);
  co_return all;
}

}  // namespace fleet::agent::metrics
