#include "common/postgres/error.hpp"

#include <fmt/format.h>

#include "common/base/text.hpp"
#include "common/postgres/libpq.hpp"

namespace fleet::postgres {
namespace {

std::string sentence(const sql_error_parts& parts) {
  std::string text = parts.doing.empty() ? parts.message : parts.doing + ": " + parts.message;
  std::string notes = parts.detail;
  if (!parts.sqlstate.empty()) notes += (notes.empty() ? "" : "; ") + parts.sqlstate;
  if (parts.outcome_unknown) notes += std::string(notes.empty() ? "" : "; ") + "whether it happened is unknown";
  if (!notes.empty()) text += " (" + notes + ")";
  return text;
}

std::string field(const PGresult* result, int code) {
  const char* text = PQresultErrorField(result, code);
  return text == nullptr ? std::string() : std::string(text);
}

/// libpq ends its messages with a line break and puts one line per host that was tried.
std::string one_line(std::string_view text) {
  std::string out;
  for (const char c : base::trim(text)) {
    if (c == '\n') {
      out += "; ";
    } else if (c != '\t' && c != '\r') {
      out += c;
    }
  }
  return out;
}

}  // namespace

sql_error::sql_error(sql_error_parts parts)
    : base::failure(base::make_error(to_error_kind(parts.kind, parts.sqlstate), sentence(parts))),
      parts_(std::move(parts)) {}

std::string abbreviate_sql(std::string_view sql, std::size_t max_bytes) {
  std::string line;
  for (const char c : sql) {
    const bool space = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    if (!space) {
      line += c;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
    if (line.size() > max_bytes) break;
  }
  return base::abbreviate(base::trim(line), max_bytes);
}

sql_error error_of(const PGresult* result, std::string doing) {
  sql_error_parts parts;
  parts.sqlstate = field(result, PG_DIAG_SQLSTATE);
  parts.doing = std::move(doing);
  parts.message = field(result, PG_DIAG_MESSAGE_PRIMARY);
  parts.detail = field(result, PG_DIAG_MESSAGE_DETAIL);
  parts.hint = field(result, PG_DIAG_MESSAGE_HINT);
  if (parts.message.empty()) parts.message = one_line(PQresultErrorMessage(result));
  // Without a code the message is libpq's own: the server closed the connection, or what it sent made no sense.
  parts.kind = parts.sqlstate.empty() ? sql_kind::connection_lost : classify(parts.sqlstate);
  return sql_error(std::move(parts));
}

sql_error error_of(const PGconn* connection, std::string doing) {
  sql_error_parts parts;
  parts.kind = sql_kind::connection_lost;
  parts.doing = std::move(doing);
  parts.message = one_line(PQerrorMessage(connection));
  if (parts.message.empty()) parts.message = "the connection is lost";
  return sql_error(std::move(parts));
}

}  // namespace fleet::postgres
