#include "singularity_agent/metrics/url_sampler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <charconv>
#include <cstdint>

#include "common/base/text.hpp"
#include "singularity_agent/metrics/metrics_json.hpp"

namespace fleet::agent::metrics {
namespace {

constexpr std::string_view setting = "metrics.url";

/// What the client would refuse at each sample, and nobody would see at the start.
bool can_be_called(const http::endpoint& to) {
  boost::system::error_code ec;
  if (to.host != "localhost") boost::asio::ip::make_address(to.host, ec);
  std::uint16_t port = 0;
  const auto* const end = to.port.data() + to.port.size();
  return !ec && std::from_chars(to.port.data(), end, port).ptr == end && port != 0;
}

base::error named(base::error wrong) {
  wrong.message = fmt::format("{}: {}", setting, wrong.message);
  return wrong;
}

base::error expected(std::string_view what, std::string_view got) {
  auto message = fmt::format("expected {}, got {}", what, base::abbreviate(got, 200));
  return base::invalid_fields({{std::string(setting), std::move(message)}});
}

/// Media types are written in any case: "Application/JSON; charset=utf-8", "application/vnd.api+json".
bool says_json(const http::client_response& answer) {
  const auto header = answer.headers.find("content-type");
  if (header == answer.headers.end()) return false;
  const std::string_view text = header->second;
  std::string type(base::trim(text.substr(0, text.find(';'))));
  for (char& c : type)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return type == "application/json" || type.ends_with("+json");
}

/// No line of an exposition begins with a brace.
bool is_json(const http::client_response& answer) {
  return says_json(answer) || base::trim(answer.body).starts_with('{');
}

/// An exposition without a figure for us is a mistake of the settings that would not show otherwise.
base::result<messages::metric_set> read_exposition(std::string_view body, const metric_mapping& mapping) {
  const auto samples = parse_exposition(body);
  if (!samples) return named(samples.error());
  auto metrics = select_metrics(*samples, mapping);
  if (!metrics) return named(metrics.error());
  if (!metrics->empty()) return metrics;
  return base::make_error(
      base::error_kind::invalid_input,
      fmt::format("{}: {}", setting,
                  mapping.empty() ? "no sample bears the name of a known metric; metrics.url_map says which to take"
                                  : "no sample that metrics.url_map selects has a value"));
}

}  // namespace

base::result<metrics_url> metrics_url::parse(std::string_view text) {
  constexpr std::string_view scheme = "http://";
  auto rest = base::trim(text);
  if (!rest.starts_with(scheme)) return expected("http://address:port/path", text);
  rest.remove_prefix(scheme.size());
  const auto path = std::min(rest.find_first_of("/?"), rest.size());
  std::string authority(rest.substr(0, path));
  const auto bracket = authority.rfind(']');
  if (authority.find(':', bracket == std::string::npos ? 0 : bracket) == std::string::npos) authority += ":80";
  const auto to = http::endpoint::parse(authority);
  if (!to || !can_be_called(*to)) return expected("an IP address or localhost, and a port if any", authority);
  metrics_url url;
  url.to = *to;
  url.target = rest.substr(path);
  if (url.target.find_first_of(" #") != std::string::npos || base::has_control_characters(url.target))
    return expected("a path without blanks and fragment", url.target);
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
  if (!answer) co_return named(answer.error());
  if (answer->status != 200)
    co_return base::make_error(base::error_kind::unavailable,
                               fmt::format("{} answered with status {}", setting, answer->status));
  if (is_json(*answer)) co_return parse_metrics_json(answer->body, setting);
  co_return read_exposition(answer->body, options_.mapping);
}

}  // namespace fleet::agent::metrics
