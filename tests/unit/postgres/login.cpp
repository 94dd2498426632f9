#include "common/postgres/login.hpp"

#include <catch2/catch.hpp>

#include "common/postgres/conninfo.hpp"
#include "common/postgres/error.hpp"

using fleet::postgres::login_url;

TEST_CASE("login_url: another user on the same server") {
  const fleet::postgres::login as{"fleet_a/b", "p@ss:1", "fleet"};
  CHECK(login_url("postgresql://root:old@db:5433/other?sslmode=require", as) ==
        "postgresql://fleet_a%2Fb:p%40ss%3A1@db:5433/fleet?sslmode=require");
  CHECK(login_url("host=/run/x port=5433 user=root passfile=/root/.pgpass", as) ==
        "postgresql://fleet_a%2Fb:p%40ss%3A1@/fleet?host=%2Frun%2Fx&port=5433");
  CHECK(login_url("postgresql://a:1,b:2/d", as) == "postgresql://fleet_a%2Fb:p%40ss%3A1@/fleet?host=a%2Cb&port=1%2C2");
  CHECK(login_url("postgresql://[::1]:7/d", as) == "postgresql://fleet_a%2Fb:p%40ss%3A1@/fleet?host=%3A%3A1&port=7");
  CHECK(login_url("postgresql://", as) == "postgresql://fleet_a%2Fb:p%40ss%3A1@/fleet");
  CHECK_THROWS_AS(login_url("no such thing", as), fleet::postgres::sql_error);
}

TEST_CASE("login_url: libpq reads back what was written") {
  const fleet::postgres::login as{"ä b%", "=&?#/", "d d"};
  for (const auto* url : {"postgresql://h:1/x?connect_timeout=3", "host=/tmp port=9", "host=a,b port=1,2"}) {
    std::string user;
    std::string password;
    std::string database;
    for (const auto& [keyword, value] : fleet::postgres::conninfo::as_written(login_url(url, as))) {
      if (keyword == "user") user = value;
      if (keyword == "password") password = value;
      if (keyword == "dbname") database = value;
    }
    INFO(url);
    CHECK(user == as.user);
    CHECK(password == as.password);
    CHECK(database == as.database);
  }
}

TEST_CASE("scram_verifier: salted, and nothing of the password in it") {
  const auto one = fleet::postgres::scram_verifier("secret");
  CHECK_THAT(one, Catch::StartsWith("SCRAM-SHA-256$4096:"));
  CHECK_THAT(one, !Catch::Contains("secret"));
  CHECK(one != fleet::postgres::scram_verifier("secret"));
}
