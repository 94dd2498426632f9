#include "common/postgres/sqlstate.hpp"

#include <catch2/catch.hpp>
#include <utility>
#include <vector>

#include "common/postgres/error.hpp"

using fleet::base::error_kind;
using fleet::postgres::classify;
using fleet::postgres::sql_kind;
using fleet::postgres::to_error_kind;

TEST_CASE("sqlstate: every code that is treated in a special way is known") {
  const std::vector<std::pair<std::string, sql_kind>> expected = {{"08006", sql_kind::connection_lost},
                                                                  {"57P01", sql_kind::connection_lost},
                                                                  {"57P03", sql_kind::connection_lost},
                                                                  {"25P03", sql_kind::connection_lost},
                                                                  {"53300", sql_kind::connection_lost},
                                                                  {"57014", sql_kind::timeout},
                                                                  {"23505", sql_kind::constraint},
                                                                  {"23503", sql_kind::constraint},
                                                                  {"40001", sql_kind::conflict},
                                                                  {"40P01", sql_kind::conflict},
                                                                  {"55P03", sql_kind::conflict},
                                                                  {"42501", sql_kind::permission},
                                                                  {"28P01", sql_kind::permission},
                                                                  {"42P01", sql_kind::undefined},
                                                                  {"42883", sql_kind::undefined},
                                                                  {"3F000", sql_kind::undefined},
                                                                  {"3D000", sql_kind::undefined},
                                                                  {"25006", sql_kind::read_only},
                                                                  {"22P02", sql_kind::invalid_input},
                                                                  {"P0001", sql_kind::invalid_input},
                                                                  {"42601", sql_kind::other},
                                                                  {"XX000", sql_kind::other},
                                                                  {"", sql_kind::other},
                                                                  {"08", sql_kind::other}};
  for (const auto& [code, kind] : expected) {
    INFO(code);
    CHECK(classify(code) == kind);
  }
}

TEST_CASE("sqlstate: what may pass by itself is unavailable to those who know no SQL") {
  CHECK(to_error_kind(sql_kind::connection_lost, "") == error_kind::unavailable);
  CHECK(to_error_kind(sql_kind::read_only, "25006") == error_kind::unavailable);
  CHECK(to_error_kind(sql_kind::conflict, "40001") == error_kind::unavailable);
  CHECK(to_error_kind(sql_kind::other, "53100") == error_kind::unavailable);
  CHECK(to_error_kind(sql_kind::other, "42601") == error_kind::internal);
  CHECK(to_error_kind(sql_kind::timeout, "57014") == error_kind::timeout);
  CHECK(to_error_kind(sql_kind::constraint, "23505") == error_kind::conflict);
  CHECK(to_error_kind(sql_kind::permission, "42501") == error_kind::refused);
}

TEST_CASE("sql error: reads well, and keeps its parts") {
  fleet::postgres::sql_error_parts parts;
  parts.kind = sql_kind::constraint;
  parts.sqlstate = "23505";
  parts.doing = "running \"insert\"";
  parts.message = "duplicate key";
  parts.detail = "Key (id)=(1) already exists.";
  const fleet::postgres::sql_error error(parts);
  CHECK(std::string(error.what()) == "running \"insert\": duplicate key (Key (id)=(1) already exists.; 23505)");
  CHECK(error.to_error().kind == error_kind::conflict);
  CHECK(error.doing() == "running \"insert\"");
  CHECK_FALSE(error.outcome_unknown());
}

TEST_CASE("sql error: a statement is shortened to one line") {
  CHECK(fleet::postgres::abbreviate_sql("  select\n    1,\t2 ") == "select 1, 2");
  CHECK(fleet::postgres::abbreviate_sql(std::string(500, 'x'), 50).size() <= 50 + std::string("…").size());
}
