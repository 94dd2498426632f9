// A sampler against a service that answers over HTTP.
#include "singularity_agent/metrics/url_sampler.hpp"

#include <catch2/catch.hpp>

#include "tests/support/http_service.hpp"
#include "tests/support/results.hpp"
#include "tests/support/run.hpp"

using namespace fleet;
using agent::metrics::metric_mapping;
using agent::metrics::metrics_url;
using base::decimal;
using messages::metric_set;

namespace {

constexpr auto exposition =
    "# HELP app_errors_total Requests that failed.\n# TYPE app_errors_total counter\n"
    "app_errors_total{code=\"500\",pod=\"a\"} 3\napp_errors_total{code=\"500\",pod=\"b\"} 4\n"
    "app_errors_total{code=\"404\"} 90\nerror_rate 0.25\nlatency_p95_ms{route=\"/\"} 80\nup 1\n";

/// A service of the operator's, which answers everybody the same.
class service {
 public:
  service(const std::string& body, const std::string& content_type, unsigned status = 200) {
    web_.answer(body, content_type, status);
  }

  base::result<metric_set> sample(const std::string& mapping = "") const {
    agent::metrics::url_sampler_options options;
    options.url = metrics_url::parse(web_.url()).value();
    options.mapping = agent::metrics::parse_mapping(mapping).value();
    agent::metrics::url_sampler sampler(std::move(options));
    boost::asio::io_context io;
    return test::run(io, sampler.sample());
  }

 private:
  test::http_service web_;
};

std::string error_of(const base::result<metric_set>& sampled) {
  return sampled ? "none" : sampled.error().message;
}

}  // namespace

TEST_CASE("url sampler: a JSON object is read as what a command prints, whatever its type is called") {
  const metric_set expected{{"error_rate", decimal::from_millionths(20'000)},
                            {"error_rate_n", decimal::from_int(500)},
                            {"queue_depth", decimal::from_int(3)}};
  const std::string body = "\n {\"error_rate\": 0.02, \"error_rate_n\": 500, \"queue_depth\": 3, \"memory\": null}\n";
  for (const auto* type :
       {"application/json", "Application/JSON; charset=utf-8", "application/vnd.x+json", "text/plain"}) {
    CAPTURE(type);
    service with(body, type);
    const auto sampled = with.sample();
    REQUIRE(sampled);
    CHECK(*sampled == expected);
    // A mapping is of expositions.
    CHECK(with.sample("memory=x").value() == expected);
  }
}

TEST_CASE("url sampler: an exposition gives the known names without labels, or what the map selects") {
  service with(exposition, "text/plain; version=0.0.4");
  CHECK(with.sample().value() == metric_set{{"error_rate", decimal::from_millionths(250'000)}});
  CHECK(with.sample("error_count=app_errors_total{code=\"500\"}, availability=up, memory=no_such_sample").value() ==
        metric_set{{"availability", decimal::from_int(1)}, {"error_count", decimal::from_int(7)}});
}

TEST_CASE("url sampler: an exposition that gives no figure is an error that says what to set") {
  service with("app_errors_total{code=\"500\"} 3\nup 1\n", "text/plain");
  CHECK_THAT(error_of(with.sample()), Catch::StartsWith("metrics.url: ") && Catch::Contains("metrics.url_map"));
  CHECK_THAT(error_of(with.sample("memory=no_such_sample")), Catch::Contains("metrics.url_map"));
  CHECK(with.sample().error().kind == base::error_kind::invalid_input);
}

TEST_CASE("url sampler: a body that is neither, and an answer other than 200, name the setting and what is wrong") {
  struct wrong {
    std::string body;
    std::string type;
    std::string names;
  };
  const auto each =
      GENERATE(wrong{"<html>", "text/html", "line 1"}, wrong{"up 1\nerror_rate much\n", "text/plain", "line 2"},
               wrong{"error_rate 2\n", "text/plain", "error_rate"},
               wrong{R"({"error_rate": 2, "own": "x"})", "text/plain", "own"},
               wrong{R"({"error_rate": 0.1)", "text/plain", "metrics.url"}, wrong{"[1]", "application/json", "object"},
               wrong{"up 1\n", "application/json", "metrics.url"});
  CAPTURE(each.body, each.type);
  service with(each.body, each.type);
  const auto sampled = with.sample();
  REQUIRE_FALSE(sampled);
  CHECK(sampled.error().kind == base::error_kind::invalid_input);
  CHECK_THAT(error_of(sampled), Catch::StartsWith("metrics.url") && Catch::Contains(each.names));
  service failing(R"({"error_rate": 0.1})", "application/json", 500);
  CHECK_THAT(error_of(failing.sample()), Catch::StartsWith("metrics.url") && Catch::Contains("500"));
  CHECK(failing.sample().error().kind == base::error_kind::unavailable);
}
