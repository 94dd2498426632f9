// The failure of something asked of the database.
#pragma once
#include <string>

#include "common/base/error.hpp"
#include "common/postgres/sqlstate.hpp"

namespace fleet::postgres {

/// What a failure is made of; the texts come from the server where it answered.
struct sql_error_parts {
  sql_kind kind = sql_kind::other;
  std::string sqlstate = {};  ///< empty where the client noticed it
  std::string doing = {};     ///< "running: select …", "connecting to db1:5432"
  std::string message = {};
  std::string detail = {};
  std::string hint = {};
  bool outcome_unknown = false;
};

/// what(): "<doing>: <message> (<detail>; <sqlstate>)". A `base::failure`, so that the root of a coroutine that knows
/// nothing of SQL can tell `unavailable` from a defect.
class sql_error : public base::failure {
 public:
  explicit sql_error(sql_error_parts parts);

  sql_kind kind() const { return parts_.kind; }
  const std::string& sqlstate() const { return parts_.sqlstate; }
  const std::string& doing() const { return parts_.doing; }
  const std::string& message() const { return parts_.message; }
  const std::string& detail() const { return parts_.detail; }
  const std::string& hint() const { return parts_.hint; }
  /// The reply to a COMMIT was lost: it may or may not have happened.
  bool outcome_unknown() const { return parts_.outcome_unknown; }
  const sql_error_parts& parts() const { return parts_; }
  base::error to_error() const { return get(); }

 private:
  sql_error_parts parts_;
};

/// The first `max_bytes` of a statement on one line.
std::string abbreviate_sql(std::string_view sql, std::size_t max_bytes = 120);

}  // namespace fleet::postgres
