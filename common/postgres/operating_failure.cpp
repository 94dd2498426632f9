#include "common/postgres/operating_failure.hpp"

#include "common/postgres/error.hpp"

namespace fleet::postgres {
namespace {

/// No disk, memory or connections left (classes 53, 57, 58); damaged data, or a catalogue that changes under it (XX); a
/// plan or statement of before a migration.
bool is_servers_trouble(const sql_error& error) {
  const auto state = error.sqlstate();
  return error.get().kind == base::error_kind::unavailable || state.starts_with("XX") || state == "0A000" ||
         state == "26000";
}

}  // namespace

bool is_operating_failure(const std::exception_ptr& what) {
  try {
    std::rethrow_exception(what);
  } catch (const sql_error& error) {
    switch (error.kind()) {
      case sql_kind::connection_lost:
      case sql_kind::timeout:
      case sql_kind::permission:
      case sql_kind::read_only:
      case sql_kind::undefined:
        return true;
      case sql_kind::conflict:
        return error.sqlstate() != "40000";  // the handler went on after a statement of its own had failed
      default:
        return is_servers_trouble(error);
    }
  } catch (const base::failure& failure) {
    // Not `unavailable`: what else was asked for may be away for good, and a lane would stand still with it.
    return failure.get().kind == base::error_kind::cancelled;
  } catch (...) {
    return false;
  }
}

}  // namespace fleet::postgres
