#include "common/postgres/sqlstate.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace fleet::postgres {
namespace {

// Single codes first; what is not among them goes by its class (the first two characters).
constexpr std::array codes{
    std::pair<std::string_view, sql_kind>{"57P01", sql_kind::connection_lost},  // admin_shutdown
    std::pair<std::string_view, sql_kind>{"57P02", sql_kind::connection_lost},  // crash_shutdown
    std::pair<std::string_view, sql_kind>{"57P03", sql_kind::connection_lost},  // cannot_connect_now
    std::pair<std::string_view, sql_kind>{"57P05", sql_kind::connection_lost},  // idle_session_timeout
    std::pair<std::string_view, sql_kind>{"25P03", sql_kind::connection_lost},  // idle_in_transaction_session_timeout
    std::pair<std::string_view, sql_kind>{"53300", sql_kind::connection_lost},  // too_many_connections
    std::pair<std::string_view, sql_kind>{"57014", sql_kind::timeout},          // query_canceled
    std::pair<std::string_view, sql_kind>{"55P03", sql_kind::conflict},         // lock_not_available
    std::pair<std::string_view, sql_kind>{"40001", sql_kind::conflict},         // serialization_failure
    std::pair<std::string_view, sql_kind>{"40P01", sql_kind::conflict},         // deadlock_detected
    std::pair<std::string_view, sql_kind>{"40000", sql_kind::conflict},         // transaction_rollback
    std::pair<std::string_view, sql_kind>{"42501", sql_kind::permission},       // insufficient_privilege
    std::pair<std::string_view, sql_kind>{"42P01", sql_kind::undefined},        // undefined_table
    std::pair<std::string_view, sql_kind>{"42703", sql_kind::undefined},        // undefined_column
    std::pair<std::string_view, sql_kind>{"42704", sql_kind::undefined},        // undefined_object
    std::pair<std::string_view, sql_kind>{"42883", sql_kind::undefined},        // undefined_function
    std::pair<std::string_view, sql_kind>{"3D000", sql_kind::undefined},        // invalid_catalog_name
    std::pair<std::string_view, sql_kind>{"3F000", sql_kind::undefined},        // invalid_schema_name
    std::pair<std::string_view, sql_kind>{"25006", sql_kind::read_only},        // read_only_sql_transaction
    std::pair<std::string_view, sql_kind>{"P0001", sql_kind::invalid_input},    // raise_exception
};

constexpr std::array classes{
    std::pair<std::string_view, sql_kind>{"08", sql_kind::connection_lost},
    std::pair<std::string_view, sql_kind>{"22", sql_kind::invalid_input},
    std::pair<std::string_view, sql_kind>{"23", sql_kind::constraint},
    std::pair<std::string_view, sql_kind>{"28", sql_kind::permission},
};

}  // namespace

std::string_view to_string(sql_kind kind) {
  switch (kind) {
    case sql_kind::connection_lost:
      return "connection_lost";
    case sql_kind::timeout:
      return "timeout";
    case sql_kind::constraint:
      return "constraint";
    case sql_kind::conflict:
      return "conflict";
    case sql_kind::permission:
      return "permission";
    case sql_kind::undefined:
      return "undefined";
    case sql_kind::read_only:
      return "read_only";
    case sql_kind::invalid_input:
      return "invalid_input";
    case sql_kind::other:
      break;
  }
  return "other";
}

sql_kind classify(std::string_view sqlstate) {
  if (sqlstate.size() != 5) return sql_kind::other;
  const auto code = std::find_if(codes.begin(), codes.end(), [&](const auto& one) { return one.first == sqlstate; });
  if (code != codes.end()) return code->second;
  const auto by_class =
      std::find_if(classes.begin(), classes.end(), [&](const auto& one) { return one.first == sqlstate.substr(0, 2); });
  return by_class != classes.end() ? by_class->second : sql_kind::other;
}

base::error_kind to_error_kind(sql_kind kind, std::string_view sqlstate) {
  switch (kind) {
    case sql_kind::connection_lost:
    case sql_kind::conflict:
    case sql_kind::read_only:
      return base::error_kind::unavailable;
    case sql_kind::timeout:
      return base::error_kind::timeout;
    case sql_kind::constraint:
      return base::error_kind::conflict;
    case sql_kind::permission:
      return base::error_kind::refused;
    case sql_kind::undefined:
      return base::error_kind::not_found;
    case sql_kind::invalid_input:
      return base::error_kind::invalid_input;
    case sql_kind::other:
      break;
  }
  // Out of memory, disk or locks, shut down for maintenance, input/output errors: the server's trouble, and it may
  // pass.
  const auto group = sqlstate.substr(0, 2);
  if (group == "53" || group == "57" || group == "58") return base::error_kind::unavailable;
  return base::error_kind::internal;
}

}  // namespace fleet::postgres
