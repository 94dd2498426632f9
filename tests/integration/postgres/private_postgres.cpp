#include "tests/support/private_postgres.hpp"

#include <catch2/catch.hpp>

using fleet::test::private_postgres;

TEST_CASE("private postgres: a database is made anew, and survives kill -9 and a restart") {
  private_postgres server({.fsync = true, .settings = {{"log_min_messages", "fatal"}}});
  server.create_database("one");
  server.psql("create table t (x int); insert into t values (1)", "one");
  server.create_database("one");
  server.psql("create table t (x int); insert into t values (7)", "one");

  server.kill9();
  CHECK_FALSE(server.running());
  server.start();

  CHECK(server.psql("select x from t", "one") == "7");
}
