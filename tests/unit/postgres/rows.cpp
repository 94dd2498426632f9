#include "common/postgres/rows.hpp"

#include <catch2/catch.hpp>
#include <limits>

#include "common/postgres/libpq.hpp"

using fleet::postgres::parse_array;
using fleet::postgres::rows;

namespace {

struct cell {
  std::string name;
  std::optional<std::string> value;
};

/// A result of one row, as the server would have sent it.
rows one_row(const std::vector<cell>& cells) {
  PGresult* made = PQmakeEmptyPGresult(nullptr, PGRES_TUPLES_OK);
  std::vector<PGresAttDesc> columns(cells.size());
  for (std::size_t i = 0; i < cells.size(); ++i) columns[i].name = const_cast<char*>(cells[i].name.c_str());
  PQsetResultAttrs(made, static_cast<int>(cells.size()), columns.data());
  for (std::size_t i = 0; i < cells.size(); ++i) {
    std::string value = cells[i].value.value_or("");
    PQsetvalue(made, 0, static_cast<int>(i), cells[i].value ? value.data() : nullptr,
               cells[i].value ? static_cast<int>(value.size()) : -1);
  }
  return rows(std::shared_ptr<const PGresult>(made, PQclear));
}

template <class T>
T read(const std::string& value) {
  return one_row({{"x", value}}).front().template get<T>("x");
}

template <class T>
std::string failure_of(const std::vector<cell>& cells, const std::string& column) {
  try {
    one_row(cells).front().template get<T>(column);
  } catch (const fleet::base::failure& failed) {
    return failed.what();
  }
  return "no failure";
}

}  // namespace

TEST_CASE("rows: every type is read from its text form") {
  CHECK(read<std::int64_t>("-9223372036854775808") == std::numeric_limits<std::int64_t>::min());
  CHECK(read<bool>("t"));
  CHECK_FALSE(read<bool>("f"));
  CHECK(read<double>("1e-3") == 0.001);
  CHECK(read<double>("-Infinity") == -std::numeric_limits<double>::infinity());
  CHECK(read<fleet::base::decimal>("0.850").str() == "0.85");
  CHECK(read<std::string>("ü").size() == 2);
  CHECK(read<boost::json::object>("{\"a\": [1]}").at("a").as_array().size() == 1);
  CHECK(read<boost::json::value>("null").is_null());
  CHECK(read<std::vector<std::int64_t>>("{1,-2}") == std::vector<std::int64_t>{1, -2});
  CHECK(read<std::vector<std::string>>("{a,\"b,\\\"c\"}") == std::vector<std::string>{"a", "b,\"c"});
  CHECK(read<fleet::base::instance_id>("i").str() == "i");
}

TEST_CASE("rows: times are read with and without zone") {
  using fleet::base::format_rfc3339;
  using fleet::base::timestamp;
  CHECK(format_rfc3339(read<timestamp>("2026-01-31 12:00:00.5+00")) == "2026-01-31T12:00:00.500000Z");
  CHECK(format_rfc3339(read<timestamp>("2026-01-31 12:00:00")) == "2026-01-31T12:00:00.000000Z");
  CHECK(format_rfc3339(read<timestamp>("2026-01-31 12:00:00+05:30")) == "2026-01-31T06:30:00.000000Z");
  CHECK(failure_of<timestamp>({{"x", "infinity"}}, "x").find("finite time") != std::string::npos);
}

TEST_CASE("rows: NULL is an empty optional, and for others a failure that names the column") {
  const auto of = one_row({{"a", std::nullopt}, {"b", "1"}});
  CHECK_FALSE(of.front().get<std::optional<std::int64_t>>("a"));
  CHECK(of.front().get<std::optional<std::int64_t>>("b") == 1);
  CHECK(of.front().is_null("a"));
  CHECK(failure_of<std::int64_t>({{"a", std::nullopt}}, "a") == "column \"a\" is NULL");
}

TEST_CASE("rows: a wrong value or a missing column is told with its name") {
  CHECK(failure_of<std::int64_t>({{"n", "12x"}}, "n") == "column \"n\" is not a whole number that fits: \"12x\"");
  CHECK(failure_of<std::int32_t>({{"n", "3000000000"}}, "n") != "no failure");
  CHECK(failure_of<bool>({{"n", "yes"}}, "n") != "no failure");
  CHECK(failure_of<boost::json::object>({{"n", "[1]"}}, "n") == "column \"n\" is not a JSON object: \"[1]\"");
  CHECK(failure_of<bool>({{"n", "t"}, {"m", "t"}}, "o") == "the result has no column \"o\" (it has: n, m)");
  CHECK(failure_of<std::vector<std::string>>({{"n", "{a,NULL}"}}, "n") != "no failure");
  CHECK_THROWS_AS(one_row({{"n", "t"}})[1], fleet::base::failure);
  CHECK_THROWS_AS(rows().single(), fleet::base::failure);
}

TEST_CASE("rows: a row and its text outlive the result they came from") {
  const auto kept = one_row({{"x", "value"}}).front();
  CHECK(kept.text("x") == "value");
}

TEST_CASE("array text: malformed literals are errors") {
  for (const char* text : {"", "{", "}", "{a", "a}", "{a,}", "{,a}", "{{a}}", "{\"a}", "{a}b", "{\"a\"b}", "{a\\"}) {
    INFO(text);
    CHECK_FALSE(parse_array(text).has_value());
  }
  CHECK(parse_array("{}")->empty());
  CHECK(parse_array("[0:1]={1,2}")->size() == 2);
}
