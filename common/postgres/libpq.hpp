// The one place that includes libpq. Internal to this folder.
#pragma once
#include <libpq-fe.h>

#include <memory>
#include <string>

#include "common/postgres/error.hpp"

namespace fleet::postgres {

struct result_clear {
  void operator()(PGresult* result) const { PQclear(result); }
};
using result_ptr = std::unique_ptr<PGresult, result_clear>;

/// The error of a result with a server's message.
sql_error error_of(const PGresult* result, std::string doing);
/// The error of a connection that broke, with libpq's message.
sql_error error_of(const PGconn* connection, std::string doing);

}  // namespace fleet::postgres
