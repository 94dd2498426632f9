// How to reach a database, and the limits of a session there.
#pragma once
#include <chrono>
#include <string>

namespace fleet::postgres {

struct settings {
  /// Any connection string or URI of libpq: several hosts, target_session_attrs, TLS, SCRAM, services.
  std::string url;
  std::string application_name = {};  ///< unless the url says one
  /// For each host until the session is ready to be used; a host that takes longer is skipped.
  std::chrono::milliseconds connect_timeout{5'000};
  /// The server ends a statement after this; the client gives up `client_grace` later and drops the connection. 0: no
  /// limit of either.
  std::chrono::milliseconds statement_timeout{10'000};
  std::chrono::milliseconds client_grace{1'000};
  std::chrono::milliseconds idle_in_transaction_timeout{60'000};
  /// Named prepared statements; never through a pooler (see `connection::pooled`).
  bool prepare = true;
};

}  // namespace fleet::postgres
