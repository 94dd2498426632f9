#include <catch2/catch.hpp>

#include "centralcloud_daemon/alerts/webhook.hpp"

using fleet::central::alerts::parse_webhook_url;

TEST_CASE("webhook URL: scheme, host, port and path") {
  const auto full = parse_webhook_url("https://alerts.example:8443/hook?team=1&x=%20");
  REQUIRE(full.has_value());
  CHECK(full->secure);
  CHECK(full->host == "alerts.example");
  CHECK(full->port == "8443");
  CHECK(full->authority == "alerts.example:8443");
  CHECK(full->path == "/hook?team=1&x=%20");
  const auto short_one = parse_webhook_url("http://[::1]");
  REQUIRE(short_one.has_value());
  CHECK_FALSE(short_one->secure);
  CHECK(short_one->host == "::1");
  CHECK(short_one->authority == "[::1]");
  CHECK(short_one->port == "80");
  CHECK(short_one->path == "/");
  CHECK(parse_webhook_url("https://a.example/x")->port == "443");
}

TEST_CASE("webhook URL: anything else is refused") {
  for (const auto* wrong : {"", "alerts.example", "ftp://a.example/", "http://", "https:///x",
                            "http://user:pw@a.example/", "http://a.example/ x", "http://a.example:port/"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_webhook_url(wrong).has_value());
  }
}
