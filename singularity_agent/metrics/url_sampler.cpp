#include "singularity_agent/metrics/url_sampler.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/text.hpp"

namespace fleet::agent::metrics {

base::result<metrics_url> metrics_url::parse(std::string_view text) {
  constexpr std::string_view scheme = "http://";
  auto rest = base::trim(text);
  if (!rest.starts_with(scheme))
    return base::invalid_fields(
        {{"metrics.url", "expected http://address:port/path, got " + base::abbreviate(text, 200)}});
  rest.remove_prefix(scheme.size());
  const auto path = std::min(rest.find_first_of("/?"), rest.size());
  std::string authority(rest.substr(0, path));
  const auto bracket = authority.rfind(']');
  if (authority.find(':', bracket == std::string::npos ? 0 : bracket) == std::string::npos) authority += ":80";
  const auto to = http::endpoint::parse(authority);
  if (!to) return base::invalid_fields({{"metrics.url", to.error().message}});
  metrics_url url;
  url.to = *to;
  url.target = rest.substr(path);
  if (url.target.empty() || url.target == "/") url.target = "/metrics";
  if (!url.target.starts_with('/')) url.target.insert(0, 1, '/');
  return url;
}

url_sampler::url_sampler(url_sampler_options options) : options_(std::move(options)) {}

boost::asio::awaitable<base::result<messages::metric_set>> url_sampler::sample() {
  http::client_request request;
  request.to = options_.url.to;
  request.target = options_.url.target;
  request.timeout = options_.timeout;
  auto answer = co_await http::call(std::move(request));
  if (!answer) co_return answer.error();
  if (answer->status != 200)
    co_return base::make_error(base::error_kind::unavailable,
                               fmt::format("metrics.url answered with status {}", answer->status));
  const auto samples = parse_exposition(answer->body);
  if (!samples) co_return samples.error();
  co_return select_metrics(*samples, options_.mapping);
}

}  // namespace fleet::agent::metrics
