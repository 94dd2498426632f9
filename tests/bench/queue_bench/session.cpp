#include "tests/bench/queue_bench/session.hpp"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

namespace fleet::bench {

long answer::number(int row, int column) const {
  return std::strtol(text(row, column), nullptr, 10);
}

session::session(const std::string& url) : connection_(PQconnectdb(url.c_str())) {
  if (PQstatus(connection_.get()) != CONNECTION_OK) throw std::runtime_error(PQerrorMessage(connection_.get()));
  script("set statement_timeout = '60s'; set client_min_messages = warning");
}

answer session::checked(PGresult* result, const std::string& doing) {
  answer checked_answer(result);
  const auto status = PQresultStatus(result);
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_COPY_IN)
    throw std::runtime_error(doing + ": " + PQerrorMessage(connection_.get()));
  return checked_answer;
}

answer session::query(const std::string& sql, const std::vector<const char*>& parameters) {
  const auto found = std::find(prepared_.begin(), prepared_.end(), sql);
  const auto name = "s" + std::to_string(found - prepared_.begin());
  if (found == prepared_.end()) {
    checked(PQprepare(connection_.get(), name.c_str(), sql.c_str(), 0, nullptr), sql);
    prepared_.push_back(sql);
  }
  const auto count = static_cast<int>(parameters.size());
  return checked(PQexecPrepared(connection_.get(), name.c_str(), count, parameters.data(), nullptr, nullptr, 0), sql);
}

answer session::script(const std::string& sql) {
  return checked(PQexec(connection_.get(), sql.c_str()), sql);
}

void session::copy_in(const std::string& command, const std::string& data) {
  script(command);
  if (PQputCopyData(connection_.get(), data.data(), static_cast<int>(data.size())) != 1 ||
      PQputCopyEnd(connection_.get(), nullptr) != 1)
    throw std::runtime_error(command + ": " + PQerrorMessage(connection_.get()));
  while (PGresult* result = PQgetResult(connection_.get())) checked(result, command);
}

}  // namespace fleet::bench
