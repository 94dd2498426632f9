#include "common/http/router.hpp"

#include <boost/json/parse.hpp>
#include <catch2/catch.hpp>
#include <stdexcept>

#include "common/http/access.hpp"
#include "common/http/client.hpp"
#include "common/http/server.hpp"

using namespace fleet;
using http::request;
using http::response;

namespace {

http::handler nothing() {
  return [](request) -> boost::asio::awaitable<response> { co_return response(); };
}

}  // namespace

TEST_CASE("router: parameters are whole segments, decoded") {
  http::router table;
  table.add("GET", "/v1/proposals/{id}", nothing()).add("POST", "/v1/proposals/{id}/metrics", nothing());
  const auto found = table.find("GET", "/v1/proposals/a%2Fb%20c");
  REQUIRE(found.call != nullptr);
  CHECK(found.parameters.at("id") == "a/b c");
  CHECK(found.pattern == "/v1/proposals/{id}");
  CHECK(table.find("POST", "/v1/proposals/x/metrics").parameters.at("id") == "x");
  CHECK(table.find("HEAD", "/v1/proposals/x").call != nullptr);
}

TEST_CASE("router: what does not fit is not found") {
  http::router table;
  table.add("GET", "/v1/proposals/{id}", nothing());
  const auto path = GENERATE(as<std::string>{}, "/v1/proposals/", "/v1/proposals", "/v1/proposals/x/", "/", "",
                             "/v1/proposals/%zz", "/v1/proposals/%00", "/v1/proposals/%2", "//v1/proposals/x");
  const auto found = table.find("GET", path);
  CHECK(found.call == nullptr);
  CHECK(found.allow.empty());
}

TEST_CASE("router: another method of a known path says which ones there are") {
  http::router table;
  table.add("GET", "/v1/votes", nothing()).add("POST", "/v1/votes", nothing());
  const auto found = table.find("DELETE", "/v1/votes");
  CHECK(found.call == nullptr);
  CHECK(found.allow == "GET, HEAD, POST");
}

TEST_CASE("router: a literal segment wins over a parameter, in any order") {
  http::router table;
  table.add("GET", "/v1/patterns/{id}", nothing()).add("GET", "/v1/patterns/suggest", nothing());
  CHECK(table.find("GET", "/v1/patterns/suggest").pattern == "/v1/patterns/suggest");
  CHECK_THROWS_AS(table.add("GET", "/v1/patterns/suggest", nothing()), std::logic_error);
}

TEST_CASE("router: the fallback takes reads that nothing else matches") {
  http::router table;
  table.add("POST", "/v1/votes", nothing()).add_fallback(nothing());
  CHECK(table.find("GET", "/style.css").call != nullptr);
  CHECK(table.find("POST", "/style.css").call == nullptr);
  CHECK(table.find("GET", "/v1/votes").allow == "POST");
}

TEST_CASE("problem: each error kind has its status") {
  using base::error_kind;
  const auto [kind, status] = GENERATE(table<error_kind, unsigned>({{error_kind::invalid_input, 400U},
                                                                    {error_kind::refused, 403U},
                                                                    {error_kind::not_found, 404U},
                                                                    {error_kind::conflict, 409U},
                                                                    {error_kind::unavailable, 503U},
                                                                    {error_kind::timeout, 504U},
                                                                    {error_kind::internal, 500U}}));
  const auto answer = http::problem(base::make_error(kind, "the detail"));
  CHECK(answer.status == status);
  const auto body = boost::json::parse(answer.body).as_object();
  CHECK(body.at("status").to_number<unsigned>() == status);
  CHECK((body.at("detail").as_string() == "the detail") == (status != 500));
}

TEST_CASE("problem: fields are listed and come back through the client") {
  const auto answer = http::problem(base::invalid_fields({{"agent_type", "expected a text"}}));
  http::client_response received;
  received.status = answer.status;
  received.body = answer.body;
  const auto error = http::error_of(received);
  CHECK(error.kind == base::error_kind::invalid_input);
  REQUIRE(error.fields.size() == 1);
  CHECK(error.fields[0] == base::field_error{"agent_type", "expected a text"});
}

TEST_CASE("access: a web page cannot change a server without a token") {
  request what;
  what.method = "POST";
  const auto allowed = [&](std::string host, std::string origin) {
    what.headers["host"] = std::move(host);
    what.headers["origin"] = std::move(origin);
    return !http::check_access(what, "", false).has_value();
  };
  CHECK(allowed("127.0.0.1:4001", ""));
  CHECK(allowed("localhost:4001", "http://localhost:4001"));
  CHECK(allowed("[::1]:4001", ""));
  CHECK_FALSE(allowed("127.0.0.1:4001", "http://evil.example"));
  CHECK_FALSE(allowed("evil.example:4001", "http://evil.example:4001"));
  CHECK_FALSE(allowed("127.evil.example", ""));
  CHECK_FALSE(allowed("", ""));
}

TEST_CASE("access: a web page cannot read a server without a token by a name of its own") {
  request what;
  what.method = "GET";
  const auto allowed = [&](std::string host, const std::string& token) {
    what.headers["host"] = std::move(host);
    return !http::check_access(what, token, false).has_value();
  };
  CHECK(allowed("127.0.0.1:4001", ""));
  CHECK(allowed("", ""));  // HTTP/1.0, and no browser
  CHECK_FALSE(allowed("evil.example:4001", ""));
  CHECK(allowed("fleet.example:4001", "a token of one's own"));
}

TEST_CASE("access: tokens are compared whole") {
  CHECK(http::constant_time_equal("abc", "abc"));
  CHECK_FALSE(http::constant_time_equal("abc", "abcabc"));
  CHECK_FALSE(http::constant_time_equal("abcabc", "abc"));
  CHECK_FALSE(http::constant_time_equal("", "abc"));
  CHECK_FALSE(http::constant_time_equal("abc", ""));
}

TEST_CASE("endpoint: the forms an address may have") {
  CHECK(http::endpoint::parse("unix:/run/a.sock")->unix_socket == "/run/a.sock");
  CHECK(http::endpoint::parse("/run/a.sock")->unix_socket == "/run/a.sock");
  CHECK(http::endpoint::parse("http://127.0.0.1:4001/")->port == "4001");
  CHECK(http::endpoint::parse("[::1]:4001")->host == "::1");
  CHECK(http::endpoint::parse("nothing").has_error());
}

TEST_CASE("request: integer query parameters have bounds") {
  request what;
  what.query = {{"limit", "20"}, {"bad", "20x"}};
  CHECK(what.query_int("limit", 5, 1, 100).value() == 20);
  CHECK(what.query_int("none", 5, 1, 100).value() == 5);
  CHECK(what.query_int("bad", 5, 1, 100).has_error());
  CHECK(what.query_int("limit", 5, 1, 10).has_error());
}
