#include "common/base/error.hpp"

#include <catch2/catch.hpp>

using namespace fleet::base;

TEST_CASE("error: every kind has its own name") {
  CHECK(to_string(error_kind::invalid_input) == "invalid_input");
  CHECK(to_string(error_kind::not_found) == "not_found");
  CHECK(to_string(error_kind::conflict) == "conflict");
  CHECK(to_string(error_kind::refused) == "refused");
  CHECK(to_string(error_kind::unavailable) == "unavailable");
  CHECK(to_string(error_kind::timeout) == "timeout");
  CHECK(to_string(error_kind::cancelled) == "cancelled");
  CHECK(to_string(error_kind::internal) == "internal");
}

TEST_CASE("error: wrong fields are all in the message") {
  const auto what = invalid_fields({{"a.b", "is missing"}, {"", "too many"}});
  CHECK(what.kind == error_kind::invalid_input);
  CHECK(what.message == "a.b: is missing; too many");
  CHECK(what.fields == std::vector<field_error>{{"a.b", "is missing"}, {"", "too many"}});
}

TEST_CASE("error: taking the value of a result that has none throws the error as a failure") {
  const result<int> bad = make_error(error_kind::timeout, "the deadline passed");
  try {
    (void)bad.value();
    FAIL("nothing was thrown");
  } catch (const failure& thrown) {
    CHECK(thrown.get().kind == error_kind::timeout);
    CHECK(std::string(thrown.what()) == "the deadline passed");
  }
}
