#include "common/postgres/rows.hpp"

#include <fmt/format.h>

#include "common/base/text.hpp"
#include "common/postgres/libpq.hpp"

namespace fleet::postgres {
namespace {

[[noreturn]] void fail_internal(std::string message) {
  throw base::failure(base::make_error(base::error_kind::internal, std::move(message)));
}

}  // namespace

std::size_t row::columns() const {
  return static_cast<std::size_t>(PQnfields(result_.get()));
}

std::string_view row::column_name(std::size_t column) const {
  const char* name = PQfname(result_.get(), static_cast<int>(column));
  return name == nullptr ? std::string_view() : std::string_view(name);
}

std::size_t row::index_of(std::string_view column) const {
  for (std::size_t i = 0; i < columns(); ++i) {
    if (column_name(i) == column) return i;
  }
  std::string names;
  for (std::size_t i = 0; i < columns(); ++i) names += fmt::format("{}{}", i == 0 ? "" : ", ", column_name(i));
  fail_internal(fmt::format("the result has no column \"{}\" (it has: {})", column, names));
}

bool row::is_null(std::size_t column) const {
  if (column >= columns()) fail_internal(fmt::format("the result has no column {}", column));
  return PQgetisnull(result_.get(), index_, static_cast<int>(column)) != 0;
}

std::string_view row::text(std::size_t column) const {
  if (is_null(column)) return {};
  const int at = static_cast<int>(column);
  return {PQgetvalue(result_.get(), index_, at), static_cast<std::size_t>(PQgetlength(result_.get(), index_, at))};
}

void row::fail(std::size_t column, const std::string& why) const {
  const std::string value =
      is_null(column) ? std::string() : fmt::format(": \"{}\"", base::abbreviate(text(column), 60));
  fail_internal(fmt::format("column \"{}\" {}{}", column_name(column), why, value));
}

std::size_t rows::size() const {
  return result_ ? static_cast<std::size_t>(PQntuples(result_.get())) : 0;
}

row rows::operator[](std::size_t index) const {
  if (index >= size()) fail_internal(fmt::format("the result has no row {} (it has {})", index, size()));
  return {result_, static_cast<int>(index)};
}

row rows::single() const {
  if (size() != 1) fail_internal(fmt::format("the result has {} rows where one was expected", size()));
  return (*this)[0];
}

std::size_t rows::affected() const {
  if (!result_) return 0;
  std::size_t count = 0;
  // libpq takes a pointer to non-const, but only reads.
  const std::string_view text = PQcmdTuples(const_cast<PGresult*>(result_.get()));
  for (const char c : text) count = count * 10 + static_cast<std::size_t>(c - '0');
  return count;
}

std::string_view rows::command() const {
  return result_ ? std::string_view(PQcmdStatus(const_cast<PGresult*>(result_.get()))) : std::string_view();
}

}  // namespace fleet::postgres
