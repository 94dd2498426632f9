// What a SQLSTATE means for the caller. Pure.
#pragma once
#include <string_view>

#include "common/base/error.hpp"

namespace fleet::postgres {

enum class sql_kind {
  connection_lost,  ///< no connection, or it ended: connect again
  timeout,          ///< the statement's time was over
  constraint,       ///< unique, foreign key, check, not null
  conflict,         ///< serialization, deadlock, lock not available: the same transaction may work when repeated
  permission,       ///< not allowed, or not let in
  undefined,        ///< no such database, schema, table, column, function
  read_only,        ///< a standby, or a read-only session
  invalid_input,    ///< the data is wrong (class 22), or the SQL raised an exception
  other
};

std::string_view to_string(sql_kind kind);
/// `other` for codes nobody treats in a special way, and for text that is no SQLSTATE.
sql_kind classify(std::string_view sqlstate);
/// For callers that know nothing of SQL.
base::error_kind to_error_kind(sql_kind kind, std::string_view sqlstate);

}  // namespace fleet::postgres
