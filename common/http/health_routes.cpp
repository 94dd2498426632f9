#include "common/http/health_routes.hpp"

#include <boost/json/array.hpp>

namespace fleet::http {
namespace {

response readiness(const telemetry::health_state& health) {
  boost::json::array missing;
  for (const auto& condition : health.missing()) {
    boost::json::object one;
    one["name"] = condition.name;
    one["reason"] = condition.reason;
    missing.push_back(std::move(one));
  }
  const bool ready = missing.empty();
  boost::json::object body;
  body["ready"] = ready;
  body["missing"] = std::move(missing);
  auto answer = json_response(ready ? 200 : 503, body);
  if (!ready) answer.headers.emplace_back("Retry-After", "1");
  return answer;
}

}  // namespace

void add_health_routes(router& to, const telemetry::health_state& health, const telemetry::metrics& metrics,
                       std::function<void()> refresh) {
  to.add("GET", "/healthz", [](request) -> boost::asio::awaitable<response> { co_return text_response(200, "ok\n"); });
  to.add("GET", "/readyz", [&health](request) -> boost::asio::awaitable<response> { co_return readiness(health); });
  to.add("GET", "/metrics", [&metrics, refresh](request) -> boost::asio::awaitable<response> {
    if (refresh) refresh();
    co_return text_response(200, metrics.exposition(), "text/plain; version=0.0.4; charset=utf-8");
  });
}

}  // namespace fleet::http
